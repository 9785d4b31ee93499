//! Capabilities: which are needed, and giving up the rest. They belong to threads, and a thread's children
//! inherit them, so the order of start is part of this: the network source's thread first, with what it
//! needs to attach; then the main thread gives everything up, and with it all that it starts later.

use caps::{CapSet, Capability, CapsHashSet};
use tracing::{info, warn};

use crate::log::SECURITY;

/// What attaching needs: `CAP_BPF` for maps and programs, `CAP_PERFMON` for tracing programs and kernel
/// pointers. `CAP_SYS_ADMIN` contains both.
const ATTACH: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// Those of [`ATTACH`] that this thread has not, by name; empty if it has `CAP_SYS_ADMIN`.
pub fn missing() -> Vec<String> {
    let have = caps::read(None, CapSet::Effective).unwrap_or_default();
    ATTACH
        .iter()
        .filter(|needed| !have.contains(needed) && !have.contains(&Capability::CAP_SYS_ADMIN))
        .map(ToString::to_string)
        .collect()
}

/// Once the programs are attached: keeps what bpf(2) wants for attaching a loaded one again, and before Linux 5.19 for
/// reading maps (`CAP_BPF`, or `CAP_SYS_ADMIN` where that is all there was), and nothing else.
pub fn keep_for_reading() {
    let have = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let keep = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN]
        .into_iter()
        .find(|c| have.contains(c));
    set_all(&keep.into_iter().collect(), "the network source");
}

/// Gives up everything, on this thread and for those that it starts from now on; and the way back by a
/// set-user-ID program.
pub fn drop_all() {
    // SAFETY: takes integers only and changes nothing but this process's own flag.
    let sealed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if sealed != 0 {
        warn!(
            target: SECURITY,
            thread = std::thread::current().name(),
            security.level = "warning",
            "cannot set no_new_privs: {}",
            std::io::Error::last_os_error()
        );
    }
    set_all(&CapsHashSet::new(), "the agent");
}

fn set_all(keep: &CapsHashSet, whose: &str) {
    let before = caps::read(None, CapSet::Permitted).unwrap_or_default();
    // Effective first: it may not exceed what is permitted.
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        if let Err(error) = caps::set(None, set, keep) {
            warn!(
                target: SECURITY,
                thread = std::thread::current().name(),
                security.level = "warning",
                "cannot give up capabilities of {whose}: {error}"
            );
            return;
        }
    }
    if before.len() > keep.len() {
        let mut kept: Vec<String> = keep.iter().map(ToString::to_string).collect();
        kept.sort();
        let kept = if kept.is_empty() {
            "none".to_owned()
        } else {
            kept.join(", ")
        };
        info!(
            target: SECURITY,
            thread = std::thread::current().name(),
            security.level = "info",
            "{whose} keeps these capabilities: {kept}"
        );
    }
}
