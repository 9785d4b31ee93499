//! Capabilities: drops those that are not needed. They belong to threads, and new threads inherit them, so the order of the
//! start matters: [`seal`] before there is a second thread; open what needs privileges; start the network source's thread,
//! which keeps what attaching needs; [`drop_all`]; then start the other threads.

use caps::{CapSet, Capability, CapsHashSet};
use tracing::{debug, info, warn};

use crate::log::SECURITY;

/// What attaching needs: `CAP_BPF` for maps and programs, `CAP_PERFMON` for tracing programs and kernel
/// pointers. `CAP_SYS_ADMIN` contains both.
const ATTACH: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// The highest possible capability: a set has 64 bits.
const LAST: libc::c_ulong = 63;

/// The capabilities of [`ATTACH`] that this thread lacks; empty if it has `CAP_SYS_ADMIN`.
pub fn missing() -> Vec<String> {
    let have = caps::read(None, CapSet::Effective).unwrap_or_default();
    ATTACH
        .iter()
        .filter(|needed| !have.contains(needed) && !have.contains(&Capability::CAP_SYS_ADMIN))
        .map(ToString::to_string)
        .collect()
}

/// Prevents this thread and its children from gaining privileges: by set-user-ID programs and capabilities of files
/// (`no_new_privs`, the bounding set), or by passing them to other programs (the inheritable and ambient sets). Prevents
/// other processes of the same user from reading the agent's memory, which has OTLP secrets (`PR_SET_DUMPABLE`). To be
/// called before there is a second thread.
pub fn seal() {
    if !set(libc::PR_SET_NO_NEW_PRIVS, 1) {
        warn_failed("set no_new_privs", &std::io::Error::last_os_error());
    }
    // Needs CAP_SETPCAP. Without it, no_new_privs has the same effect.
    for capability in 0..=LAST {
        // SAFETY: takes integers only and changes nothing but this thread's own set.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = std::io::Error::last_os_error();
            // EINVAL: beyond the last capability of this kernel.
            if error.raw_os_error() != Some(libc::EINVAL) {
                debug!("cannot drop the bounding set of capabilities: {error}");
            }
            break;
        }
    }
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        if let Err(error) = caps::clear(None, set) {
            warn_failed("clear the inheritable capabilities", &error);
        }
    }
    if !set(libc::PR_SET_DUMPABLE, 0) {
        warn_failed(
            "protect the agent's memory",
            &std::io::Error::last_os_error(),
        );
    }
}

/// Sets a flag of this thread or process.
fn set(option: libc::c_int, value: libc::c_ulong) -> bool {
    // SAFETY: takes integers only and changes nothing but flags of this process's own.
    unsafe { libc::prctl(option, value, 0, 0, 0) == 0 }
}

/// On the network source's thread, before programs are attached: keeps only what attaching needs ([`ATTACH`] or
/// `CAP_SYS_ADMIN`, and `CAP_NET_ADMIN` for programs of cgroups).
pub fn keep_for_attaching() {
    let have = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let mut keep: CapsHashSet = ATTACH.into_iter().filter(|it| have.contains(it)).collect();
    if keep.len() < ATTACH.len() && have.contains(&Capability::CAP_SYS_ADMIN) {
        keep.insert(Capability::CAP_SYS_ADMIN);
    }
    if have.contains(&Capability::CAP_NET_ADMIN) {
        keep.insert(Capability::CAP_NET_ADMIN);
    }
    // `keep_for_reading` logs the final set.
    drop_others(&keep, &keep, "the network source");
}

/// Once the programs are attached: keeps only what bpf(2) needs to attach a loaded program again, and before Linux 5.19 to
/// read maps: `CAP_BPF`, or `CAP_SYS_ADMIN` if the thread has only that. If datagrams are counted, `CAP_NET_ADMIN` stays
/// permitted, for [`with_net_admin`]: attaching their programs again needs it.
pub fn keep_for_reading(datagrams: bool) {
    let have = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let keep = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN]
        .into_iter()
        .find(|c| have.contains(c));
    let effective: CapsHashSet = keep.into_iter().collect();
    let mut permitted = effective.clone();
    if datagrams && have.contains(&Capability::CAP_NET_ADMIN) {
        permitted.insert(Capability::CAP_NET_ADMIN);
    }
    drop_others(&effective, &permitted, "the network source").log();
}

/// Calls `work` with `CAP_NET_ADMIN` in effect, if it is permitted.
pub fn with_net_admin<T>(work: impl FnOnce() -> T) -> T {
    let has = |set| caps::has_cap(None, set, Capability::CAP_NET_ADMIN).unwrap_or(false);
    let raise = !has(CapSet::Effective) && has(CapSet::Permitted);
    // If it fails, so does `work`, which reports that.
    let raised = raise && caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).is_ok();
    let done = work();
    if raised && let Err(error) = caps::drop(None, CapSet::Effective, Capability::CAP_NET_ADMIN) {
        warn!(
            target: SECURITY,
            thread = std::thread::current().name(),
            security.level = "warning",
            "cannot drop CAP_NET_ADMIN again: {error}"
        );
    }
    done
}

/// Drops all capabilities of this thread, and so of the threads that it starts. The caller logs the result once the agent
/// has started.
pub fn drop_all() -> DroppedCapabilities {
    let none = CapsHashSet::new();
    drop_others(&none, &none, "the agent")
}

/// The result of dropping capabilities.
#[derive(Debug)]
pub struct DroppedCapabilities(Option<String>);

impl DroppedCapabilities {
    /// Logs the remaining capabilities, if any were dropped.
    pub fn log(self) {
        if let Some(message) = self.0 {
            info!(
                target: SECURITY,
                thread = std::thread::current().name(),
                security.level = "info",
                "{message}"
            );
        }
    }
}

fn drop_others(effective: &CapsHashSet, keep: &CapsHashSet, whose: &str) -> DroppedCapabilities {
    let before = caps::read(None, CapSet::Permitted).unwrap_or_default();
    // Effective first: it cannot exceed the permitted set.
    let none = CapsHashSet::new();
    for (set, kept) in [
        (CapSet::Effective, effective),
        (CapSet::Permitted, keep),
        (CapSet::Inheritable, &none),
    ] {
        if let Err(error) = caps::set(None, set, kept) {
            warn_failed(&format!("drop capabilities of {whose}"), &error);
            return DroppedCapabilities(None);
        }
    }
    if before.len() <= keep.len() {
        return DroppedCapabilities(None);
    }
    let mut kept: Vec<String> = keep.iter().map(ToString::to_string).collect();
    kept.sort();
    let kept = if kept.is_empty() {
        "none".to_owned()
    } else {
        kept.join(", ")
    };
    DroppedCapabilities(Some(format!("{whose} keeps these capabilities: {kept}")))
}

fn warn_failed(action: &str, error: &dyn std::error::Error) {
    warn!(
        target: SECURITY,
        thread = std::thread::current().name(),
        security.level = "warning",
        "cannot {action}: {error}"
    );
}
