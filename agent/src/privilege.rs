//! Capabilities: which are needed, and giving up the rest. They belong to threads, and a thread's children inherit them,
//! so the order of start is part of this: [`seal`] before there is a second thread; what wants privileges is opened by
//! the first; the network source's thread is started, with what attaching needs; then [`drop_all`], and only then any
//! other thread.

use caps::{CapSet, Capability, CapsHashSet};
use tracing::{debug, info, warn};

use crate::log::SECURITY;

/// What attaching needs: `CAP_BPF` for maps and programs, `CAP_PERFMON` for tracing programs and kernel
/// pointers. `CAP_SYS_ADMIN` contains both.
const ATTACH: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// No capability has a higher number: a set is 64 bits.
const LAST: libc::c_ulong = 63;

/// Those of [`ATTACH`] that this thread has not, by name; empty if it has `CAP_SYS_ADMIN`.
pub fn missing() -> Vec<String> {
    let have = caps::read(None, CapSet::Effective).unwrap_or_default();
    ATTACH
        .iter()
        .filter(|needed| !have.contains(needed) && !have.contains(&Capability::CAP_SYS_ADMIN))
        .map(ToString::to_string)
        .collect()
}

/// Closes every way to more privileges than this thread has, for it and for all that it starts: no set-user-ID program
/// and no capability of a file gives any (`no_new_privs`, the bounding set), none passes to another program (the
/// inheritable and ambient sets). Nor does another process of the same user read the agent's memory, which has secrets
/// of OTLP (`PR_SET_DUMPABLE`). To be called before there is a second thread.
pub fn seal() {
    if !set(libc::PR_SET_NO_NEW_PRIVS, 1) {
        told("set no_new_privs", &std::io::Error::last_os_error());
    }
    // Wants CAP_SETPCAP; without it the set bounds nothing that no_new_privs does not keep away already.
    for capability in 0..=LAST {
        // SAFETY: takes integers only and changes nothing but this thread's own set.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = std::io::Error::last_os_error();
            // Beyond the last that this kernel knows.
            if error.raw_os_error() != Some(libc::EINVAL) {
                debug!("the bounding set of capabilities stays: {error}");
            }
            break;
        }
    }
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        if let Err(error) = caps::clear(None, set) {
            told("clear the capabilities that other programs inherit", &error);
        }
    }
    if !set(libc::PR_SET_DUMPABLE, 0) {
        told(
            "keep others from the agent's memory",
            &std::io::Error::last_os_error(),
        );
    }
}

/// A flag of this thread or process.
fn set(option: libc::c_int, value: libc::c_ulong) -> bool {
    // SAFETY: takes integers only and changes nothing but flags of this process's own.
    unsafe { libc::prctl(option, value, 0, 0, 0) == 0 }
}

/// On the network source's thread, before anything is attached: keeps what that needs ([`ATTACH`] or what contains it,
/// and `CAP_NET_ADMIN` for programs of cgroups), and nothing else.
pub fn keep_for_attaching() {
    let have = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let mut keep: CapsHashSet = ATTACH.into_iter().filter(|it| have.contains(it)).collect();
    if keep.len() < ATTACH.len() && have.contains(&Capability::CAP_SYS_ADMIN) {
        keep.insert(Capability::CAP_SYS_ADMIN);
    }
    if have.contains(&Capability::CAP_NET_ADMIN) {
        keep.insert(Capability::CAP_NET_ADMIN);
    }
    // Told is what is left in the end.
    give_up(&keep, &keep, "the network source");
}

/// Once the programs are attached: keeps what bpf(2) wants for attaching a loaded one again, and before Linux 5.19 for
/// reading maps (`CAP_BPF`, or `CAP_SYS_ADMIN` where that is all there was), and nothing else. Where datagrams are counted
/// also `CAP_NET_ADMIN`, for [`with_net_admin`] alone: their programs cannot be attached again without.
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
    give_up(&effective, &permitted, "the network source").tell();
}

/// Does something with `CAP_NET_ADMIN`, where this thread may have it, and goes on without.
pub fn with_net_admin<T>(work: impl FnOnce() -> T) -> T {
    let has = |set| caps::has_cap(None, set, Capability::CAP_NET_ADMIN).unwrap_or(false);
    let raise = !has(CapSet::Effective) && has(CapSet::Permitted);
    // Where it fails, the work does, and says so.
    let raised = raise && caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).is_ok();
    let done = work();
    if raised && let Err(error) = caps::drop(None, CapSet::Effective, Capability::CAP_NET_ADMIN) {
        warn!(
            target: SECURITY,
            thread = std::thread::current().name(),
            security.level = "warning",
            "cannot give up CAP_NET_ADMIN again: {error}"
        );
    }
    done
}

/// Gives up everything, on this thread and for those that it starts from now on. What comes of it is told by the caller,
/// once the agent has started.
pub fn drop_all() -> GivenUp {
    let none = CapsHashSet::new();
    give_up(&none, &none, "the agent")
}

/// What is left of a thread's capabilities, to be told.
#[derive(Debug)]
pub struct GivenUp(Option<String>);

impl GivenUp {
    /// Says it, if anything was given up.
    pub fn tell(self) {
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

fn give_up(effective: &CapsHashSet, keep: &CapsHashSet, whose: &str) -> GivenUp {
    let before = caps::read(None, CapSet::Permitted).unwrap_or_default();
    // Effective first: it may not exceed what is permitted.
    let none = CapsHashSet::new();
    for (set, kept) in [
        (CapSet::Effective, effective),
        (CapSet::Permitted, keep),
        (CapSet::Inheritable, &none),
    ] {
        if let Err(error) = caps::set(None, set, kept) {
            told(&format!("give up capabilities of {whose}"), &error);
            return GivenUp(None);
        }
    }
    if before.len() <= keep.len() {
        return GivenUp(None);
    }
    let mut kept: Vec<String> = keep.iter().map(ToString::to_string).collect();
    kept.sort();
    let kept = if kept.is_empty() {
        "none".to_owned()
    } else {
        kept.join(", ")
    };
    GivenUp(Some(format!("{whose} keeps these capabilities: {kept}")))
}

fn told(action: &str, error: &dyn std::error::Error) {
    warn!(
        target: SECURITY,
        thread = std::thread::current().name(),
        security.level = "warning",
        "cannot {action}: {error}"
    );
}
