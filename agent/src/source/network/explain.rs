//! What this machine or these privileges do not allow, in words for a person, with the mend: of the whole source, of
//! a part of it, and for `partymeter check`.

use super::{
    Prepared,
    btf::Kernel,
    cgroup::Cgroup,
    layout::Layout,
    loader::{Error, Missing, Refused},
    pin::{self, Base},
};
use crate::{config::Config, privilege, sample::FailureKind, source::Failure};

/// What the network source would meet here, part by part; attaches and keeps nothing.
pub fn probe(config: &Config) -> Vec<Finding> {
    let privileges = match privilege::missing() {
        missing if missing.is_empty() => Ok("enough to attach".to_owned()),
        missing => Err(format!("missing {}; run as root", missing.join(", "))),
    };
    let prepared = Prepared::new(config, &Layout::new(config), Base::nothing());
    let mut findings = vec![
        Finding {
            what: "privileges",
            result: privileges,
            optional: false,
        },
        Finding {
            what: "BPF programs",
            result: match &prepared {
                Ok(_) => Ok("the verifier accepts them".to_owned()),
                Err(failure) => Err(failure.reason.clone()),
            },
            optional: false,
        },
    ];
    if let Ok(Prepared {
        loaded,
        kernel,
        cgroup,
        ..
    }) = prepared
    {
        let limits = limits(config, &kernel, cgroup.as_ref(), loaded.missing());
        findings.push(Finding {
            what: "network extras",
            result: if limits.is_empty() {
                Ok("all that are configured".to_owned())
            } else {
                Err(limits.join("; "))
            },
            optional: true,
        });
    }
    let (result, optional) = pin::place(config);
    findings.push(Finding {
        what: "counters",
        result,
        optional,
    });
    findings
}

/// One thing that was looked at: what was found, or what is wrong with it.
#[derive(Debug)]
pub struct Finding {
    /// The thing.
    pub what: &'static str,
    /// In one line for a person.
    pub result: Result<String, String>,
    /// Whether all else goes on if this does not.
    pub optional: bool,
}

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
    if let Some(error) = &missing.rhythm {
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
    format!("the kernel refused to {action}: no permission; run as root or with CAP_NET_ADMIN")
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
            missing if missing.is_empty() => {
                "; a security module or lockdown forbids it".to_owned()
            }
            missing => format!("; run as root or with {}", missing.join(", ")),
        },
        Error::Btf(_) | Error::Unsafe(_) | Error::Kernel(..) => String::new(),
    };
    Failure::new(kind, format!("{error}{mend}"))
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
        assert!(denied.reason.starts_with(start), "{}", denied.reason);
        assert!(denied.reason.len() > start.len());
    }
}
