//! What this machine or these privileges do not allow, with the way out.

use super::error::BpfError;
use crate::{privilege, sample::FailureKind, source::Failure};

impl From<BpfError> for Failure {
    fn from(error: BpfError) -> Self {
        explain(&error)
    }
}

/// Adds what a person can do about the error.
fn explain(error: &BpfError) -> Failure {
    explain_on(kernel_version(), error)
}

fn explain_on((major, minor): (u32, u32), error: &BpfError) -> Failure {
    if (major, minor) < OLDEST_KERNEL {
        let (floor_major, floor_minor) = OLDEST_KERNEL;
        return Failure::new(
            FailureKind::Unsupported,
            format!(
                "Linux {major}.{minor} is too old, {floor_major}.{floor_minor} is needed ({error})"
            ),
        );
    }
    let kind = match error {
        BpfError::Btf(_) | BpfError::UnsafeDirectory(_) | BpfError::Kernel(..) => {
            FailureKind::Unsupported
        }
        BpfError::Permission(_) => FailureKind::Permission,
    };
    let help = match error {
        BpfError::Permission(_) => match privilege::missing() {
            missing if missing.is_empty() => restriction_help(&Restrictions::here()).to_owned(),
            missing => format!("; help: run as root or with {}", missing.join(", ")),
        },
        BpfError::Btf(_) | BpfError::UnsafeDirectory(_) | BpfError::Kernel(..) => String::new(),
    };
    Failure::new(kind, format!("{error}{help}"))
}

/// What may deny what the capabilities allow.
struct Restrictions {
    /// A seccomp filter is active.
    seccomp: bool,
    /// The capabilities belong to a user namespace, where they do not allow BPF.
    namespace: bool,
}

impl Restrictions {
    fn here() -> Self {
        let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
        Self::of(
            &read("/proc/thread-self/status"),
            &read("/proc/self/uid_map"),
        )
    }

    /// From the text of both files (proc(5), `user_namespaces(7)`).
    fn of(status: &str, map: &str) -> Self {
        let filter = |line: &str| line.strip_prefix("Seccomp:").map(str::trim) == Some("2");
        let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
        Self {
            seccomp: status.lines().any(filter),
            namespace: !map.is_empty() && !whole,
        }
    }
}

fn restriction_help(forbids: &Restrictions) -> &'static str {
    match forbids {
        Restrictions {
            namespace: true, ..
        } => {
            ", for this is a user namespace; help: run in the first one (no rootless container, no PrivateUsers=)"
        }
        Restrictions { seccomp: true, .. } => {
            ", though there are the capabilities; help: allow bpf(2) in the seccomp filter of this process \
             (SystemCallFilter=, the container's profile), or see what a security module or lockdown forbids"
        }
        Restrictions { .. } => {
            ", though there are the capabilities; help: see what a security module or lockdown forbids (dmesg, audit log)"
        }
    }
}

/// Compare-and-swap in BPF needs Linux 5.12. An older kernel may have a backport, so the version matters only after the
/// kernel has refused.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

pub(super) fn kernel_version() -> (u32, u32) {
    let text = sysinfo::System::kernel_version().unwrap_or_default();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named_before_what_it_said() {
        let refused = BpfError::Kernel("load the BPF programs", "Invalid argument".to_owned());
        let old = explain_on((5, 10), &refused);
        assert_eq!(old.kind, FailureKind::Unsupported);
        assert_eq!(
            old.reason,
            "Linux 5.10 is too old, 5.12 is needed (cannot load the BPF programs: Invalid argument)"
        );
        let new = explain_on((6, 1), &refused);
        assert_eq!(new.reason, "cannot load the BPF programs: Invalid argument");
    }

    #[test]
    fn a_missing_permission_comes_with_help() {
        let denied = explain_on((6, 1), &BpfError::Permission("create the BPF maps"));
        assert_eq!(denied.kind, FailureKind::Permission);
        let start = "the kernel refused to create the BPF maps: no permission; ";
        assert!(
            denied
                .reason
                .starts_with(start.trim_end_matches([';', ' '])),
            "{}",
            denied.reason
        );
        assert!(denied.reason.len() > start.len());
    }

    #[test]
    fn what_forbids_though_there_are_capabilities_is_named() {
        let (none, filter) = (
            "Name:\tx\nSeccomp:\t0\n",
            "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n",
        );
        let (first, other) = (
            "         0          0 4294967295\n",
            "         0       1000          1\n",
        );
        let help_for = |status, map| restriction_help(&Restrictions::of(status, map));
        assert!(
            help_for(none, first).contains("help: see what a security module or lockdown forbids")
        );
        assert!(help_for(filter, first).contains("help: allow bpf(2) in the seccomp filter"));
        assert!(help_for(filter, other).contains("user namespace; help: run in the first one"));
        // Nothing is known without /proc.
        assert!(help_for("", "").contains("security module"));
    }
}
