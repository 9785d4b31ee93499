//! What a degraded source lacks, one line each.

use super::{
    btf::Kernel,
    cgroup::Cgroup,
    error::BpfError,
    explain::kernel_version,
    loader::{Degraded, UdpDropHooks},
};
use crate::config::Config;

/// One line for each feature that does not work here.
pub(super) fn limits(
    config: &Config,
    kernel: &Kernel,
    cgroup: Result<&Cgroup, &String>,
    degraded: &Degraded,
) -> Vec<String> {
    let mut limits = Vec::new();
    if let Some(error) = &degraded.accounts {
        limits.push(format!(
            "connections that no process holds are counted when they end ({error})"
        ));
    }
    if let Some(why) = no_events(cgroup, degraded) {
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
    if let Some(error) = &degraded.messages {
        limits.push(format!("messages and rounds are not counted ({error})"));
    }
    if config.wants_udp() {
        limits.extend(udp_limits(cgroup, degraded));
    }
    limits
}

fn udp_limits(cgroup: Result<&Cgroup, &String>, degraded: &Degraded) -> Vec<String> {
    if let Some(why) = no_udp(cgroup, degraded) {
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
    if let Some(error) = &degraded.udp_drops {
        limits.push(format!(
            "datagrams that a full receive buffer refuses are counted as received ({error})"
        ));
    } else if let Some(error) = &degraded.udp_drops_v6 {
        limits.push(format!(
            "of IPv6, datagrams that a full receive buffer refuses are counted as received ({error})"
        ));
    }
    limits
}

/// What reports dropped datagrams on this kernel. BTF does not say for which address families the tracepoint fires.
pub(super) fn udp_drop_hooks() -> UdpDropHooks {
    const TOLD_OF_BOTH: (u32, u32) = (6, 5);
    if kernel_version() < TOLD_OF_BOTH {
        UdpDropHooks::TracepointAndExit
    } else {
        UdpDropHooks::Tracepoint
    }
}

/// Why datagrams are not counted, if so.
pub(super) fn no_udp(cgroup: Result<&Cgroup, &String>, degraded: &Degraded) -> Option<String> {
    match (cgroup, &degraded.udp) {
        (Err(reason), _) => Some(reason.clone()),
        (_, Some(BpfError::Permission(action))) => Some(no_net_admin(action)),
        (_, Some(error)) => Some(error.to_string()),
        (Ok(_), None) => None,
    }
}

fn no_net_admin(action: &str) -> String {
    format!(
        "the kernel refused to {action}: no permission; help: run as root or with CAP_NET_ADMIN"
    )
}

/// Why socket events are missing or incomplete, if so.
fn no_events(cgroup: Result<&Cgroup, &String>, degraded: &Degraded) -> Option<String> {
    match (cgroup, &degraded.events) {
        (Err(reason), _) => Some(reason.clone()),
        (_, Some(BpfError::Permission(action))) => Some(no_net_admin(action)),
        (_, Some(error)) => Some(error.to_string()),
        (Ok(cgroup), None) if !cgroup.is_root => Some(format!(
            "{} is not the machine's root cgroup: of sockets elsewhere there are no events",
            cgroup.path.display()
        )),
        (Ok(_), None) => None,
    }
}
