//! What this machine or these privileges do not allow, in words for a person, with the mend: of the whole source, of
//! a part of it, and for `partymeter check`.

use super::{
    Prepared,
    btf::Kernel,
    cgroup::Cgroup,
    layout::Layout,
    loader::{Error, Missing, Refused},
    pin::Base,
};
use crate::{
    config::Config,
    finding::{Finding, at_least},
    privilege,
    sample::FailureKind,
    source::Failure,
};

/// What the network source would meet here, part by part, with the privileges of this thread; attaches and keeps
/// nothing.
pub fn probe(config: &Config) -> Vec<Finding> {
    let privileges = match privilege::missing() {
        missing if missing.is_empty() => Ok("enough to attach".to_owned()),
        missing => {
            let missing = missing.join(", ");
            Err(format!("missing {missing}; help: run as root or with them"))
        }
    };
    let mut findings = vec![Finding::required("privileges", privileges)];
    // As much room as the agent wants, which a limit on memory may refuse.
    match Prepared::new(config, &Layout::new(config), Base::nothing()) {
        Err(failure) => findings.push(Finding::required(PROGRAMS, Err(failure.reason))),
        Ok(Prepared {
            loaded,
            kernel,
            cgroup,
            ..
        }) => {
            let accepted = "the verifier accepts them".to_owned();
            findings.push(Finding::required(PROGRAMS, Ok(accepted)));
            let limits = limits(config, &kernel, cgroup.as_ref(), loaded.missing());
            if limits.is_empty() {
                let all = Ok("all that are configured".to_owned());
                findings.push(Finding::optional(EXTRAS, all));
            }
            findings.extend(limits.into_iter().map(|limit| {
                let limit = at_least(
                    limit,
                    "this kernel has no more to offer; all else is counted",
                );
                Finding::optional(EXTRAS, Err(limit))
            }));
        }
    }
    findings
}

const PROGRAMS: &str = "BPF programs";
const EXTRAS: &str = "network extras";

/// What goes without, in one line each.
pub(super) fn limits(
    config: &Config,
    kernel: &Kernel,
    cgroup: Result<&Cgroup, &String>,
    missing: &Missing,
) -> Vec<String> {
    let mut limits = Vec::new();
    if let Some(error) = &missing.accounts {
        limits.push(format!(
            "connections that no process holds are counted when they end ({error})"
        ));
    }
    if let Some(why) = no_events(cgroup, missing) {
        if config.network.latency {
            limits.push(format!(
                "round-trip times are sampled, one a connection and round ({why})"
            ));
        }
        if kernel.preemptible_tracepoints {
            limits.push(format!(
                "connections that begin or end while their programs are preempted can be missed ({why})"
            ));
        }
    }
    if let Some(error) = &missing.messages {
        limits.push(format!("messages and rounds are not counted ({error})"));
    }
    if config.wants_udp() {
        limits.extend(udp_limits(cgroup, missing));
    }
    limits
}

fn udp_limits(cgroup: Result<&Cgroup, &String>, missing: &Missing) -> Vec<String> {
    if let Some(why) = no_udp(cgroup, missing) {
        return vec![format!("protocols on UDP are not counted ({why})")];
    }
    let mut limits = Vec::new();
    if let Ok(cgroup) = cgroup
        && !cgroup.is_root
    {
        limits.push(format!(
            "UDP is counted for a part of the machine ({} is not its root cgroup)",
            cgroup.path.display()
        ));
    }
    if let Some(error) = &missing.refused {
        limits.push(format!(
            "datagrams that a full receive buffer refuses are counted as received ({error})"
        ));
    } else if let Some(error) = &missing.refused_v6 {
        limits.push(format!(
            "of IPv6, datagrams that a full receive buffer refuses are counted as received ({error})"
        ));
    }
    limits
}

/// What tells of datagrams without room on this kernel: BTF does not say for which families the tracepoint is raised.
pub(super) fn refused() -> Refused {
    const TOLD_OF_BOTH: (u32, u32) = (6, 5);
    if kernel_version() < TOLD_OF_BOTH {
        Refused::AtExit
    } else {
        Refused::Told
    }
}

/// Why datagrams are not counted, if they are not.
pub(super) fn no_udp(cgroup: Result<&Cgroup, &String>, missing: &Missing) -> Option<String> {
    match (cgroup, &missing.udp) {
        (Err(reason), _) => Some(reason.clone()),
        (_, Some(Error::Permission(action))) => Some(no_net_admin(action)),
        (_, Some(error)) => Some(error.to_string()),
        (Ok(_), None) => None,
    }
}

fn no_net_admin(action: &str) -> String {
    format!(
        "the kernel refused to {action}: no permission; help: run as root or with CAP_NET_ADMIN"
    )
}

/// Why there are no events of sockets, or not of all of them.
fn no_events(cgroup: Result<&Cgroup, &String>, missing: &Missing) -> Option<String> {
    match (cgroup, &missing.events) {
        (Err(reason), _) => Some(reason.clone()),
        (_, Some(Error::Permission(action))) => Some(no_net_admin(action)),
        (_, Some(error)) => Some(error.to_string()),
        (Ok(cgroup), None) if !cgroup.is_root => Some(format!(
            "{} is not the machine's root cgroup: of sockets elsewhere there are no events",
            cgroup.path.display()
        )),
        (Ok(_), None) => None,
    }
}

/// What a person can do about it.
pub(super) fn explain(error: &Error) -> Failure {
    explain_on(kernel_version(), error)
}

fn explain_on((major, minor): (u32, u32), error: &Error) -> Failure {
    if (major, minor) < FLOOR {
        let (floor_major, floor_minor) = FLOOR;
        return Failure::new(
            FailureKind::Unsupported,
            format!(
                "Linux {major}.{minor} is too old, {floor_major}.{floor_minor} is needed ({error})"
            ),
        );
    }
    let kind = match error {
        Error::Btf(_) | Error::Unsafe(_) | Error::Kernel(..) => FailureKind::Unsupported,
        Error::Permission(_) => FailureKind::Permission,
    };
    let mend = match error {
        Error::Permission(_) => match privilege::missing() {
            missing if missing.is_empty() => forbidden(&Forbids::here()).to_owned(),
            missing => format!("; help: run as root or with {}", missing.join(", ")),
        },
        Error::Btf(_) | Error::Unsafe(_) | Error::Kernel(..) => String::new(),
    };
    Failure::new(kind, format!("{error}{mend}"))
}

/// What can forbid what the capabilities allow.
struct Forbids {
    /// A seccomp filter is there, which may do it.
    seccomp: bool,
    /// The capabilities are those of a user namespace, which are of no use for BPF.
    namespace: bool,
}

impl Forbids {
    fn here() -> Self {
        let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
        Self::of(
            &read("/proc/thread-self/status"),
            &read("/proc/self/uid_map"),
        )
    }

    /// Of the two files' texts (proc(5), `user_namespaces(7)`).
    fn of(status: &str, map: &str) -> Self {
        let filter = |line: &str| line.strip_prefix("Seccomp:").map(str::trim) == Some("2");
        let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
        Self {
            seccomp: status.lines().any(filter),
            namespace: !map.is_empty() && !whole,
        }
    }
}

fn forbidden(forbids: &Forbids) -> &'static str {
    match forbids {
        Forbids {
            namespace: true, ..
        } => {
            ", for this is a user namespace; help: run in the first one (no rootless container, no PrivateUsers=)"
        }
        Forbids { seccomp: true, .. } => {
            ", though there are the capabilities; help: allow bpf(2) in the seccomp filter of this process \
             (SystemCallFilter=, the container's profile), or see what a security module or lockdown forbids"
        }
        Forbids { .. } => {
            ", though there are the capabilities; help: see what a security module or lockdown forbids (dmesg, audit log)"
        }
    }
}

/// Compare-and-swap in BPF, Linux 5.12. Older ones with it backported are not asked for their number: this is
/// looked at only once the kernel has refused.
const FLOOR: (u32, u32) = (5, 12);

fn kernel_version() -> (u32, u32) {
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
        let refused = Error::Kernel("load the BPF programs", "Invalid argument".to_owned());
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
    fn a_missing_permission_comes_with_its_mend() {
        let denied = explain_on((6, 1), &Error::Permission("create the BPF maps"));
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
        let told = |status, map| forbidden(&Forbids::of(status, map));
        assert!(told(none, first).contains("help: see what a security module or lockdown forbids"));
        assert!(told(filter, first).contains("help: allow bpf(2) in the seccomp filter"));
        assert!(told(filter, other).contains("user namespace; help: run in the first one"));
        // Without /proc nothing is known.
        assert!(told("", "").contains("security module"));
    }
}
