//! The programs that count datagrams: loaded and attached only where a protocol is on UDP, both ways or none.

use std::io;

use agent_ebpf::{UNEXPECTED_SENDER_CAPACITY, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupSkb, FExit, ProgramError},
};

use super::{
    Error, Links, Missing,
    error::{kernel_error, program_error},
    object::typed,
};

/// What says that a datagram found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Refused {
    /// The tracepoint.
    Told,
    /// Of IPv6, before Linux 6.5, only the exit of the function that would have taken it.
    AtExit,
}

/// The function at whose exit it shows.
pub(super) const EXIT: &str = "__udp_enqueue_schedule_skb";
const AT_EXIT: &str = "attach to the exit of __udp_enqueue_schedule_skb";
const BOTH_WAYS: [&str; 2] = [program::DATAGRAMS_OUT, program::DATAGRAMS_IN];

/// How long the tables of ports and of callers are; without UDP as short as can be.
pub(super) fn lengths(wanted: bool) -> (u32, u32) {
    const PORTS: u32 = 1 << 16;
    if wanted {
        (PORTS, UNEXPECTED_SENDER_CAPACITY)
    } else {
        (1, 1)
    }
}

/// Has the verifier look at what counts both ways, and at what takes back.
pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf, refused: Refused, missing: &mut Missing) {
    let mut names = BOTH_WAYS.iter();
    let both = names.try_for_each(|name| typed::<CgroupSkb>(ebpf, name)?.load());
    missing.udp = why("load the cgroup_skb programs", both);
    missing.refused = why(
        "load the program for datagrams without room",
        typed::<BtfTracePoint>(ebpf, program::DATAGRAMS_REFUSED)
            .and_then(|program| program.load("udp_fail_queue_rcv_skb", btf)),
    );
    if refused == Refused::AtExit {
        let at_exit = typed::<FExit>(ebpf, program::DATAGRAMS_REFUSED_AT_EXIT)
            .and_then(|program| program.load(EXIT, btf));
        missing.refused_v6 = why(AT_EXIT, at_exit);
    }
}

/// Attaches them, what takes back first.
pub(super) fn attach(ebpf: &Ebpf, links: &mut Links, refused: Refused, missing: &mut Missing) {
    if missing.udp.is_some() {
        return;
    }
    if missing.refused.is_none() {
        let action = "attach the program for datagrams without room";
        missing.refused = refusal(action, links.attach(ebpf, program::DATAGRAMS_REFUSED));
    }
    if refused == Refused::AtExit && missing.refused_v6.is_none() {
        let attached = links.attach(ebpf, program::DATAGRAMS_REFUSED_AT_EXIT);
        missing.refused_v6 = refusal(AT_EXIT, attached);
    }
    let attached = BOTH_WAYS
        .into_iter()
        .try_for_each(|name| links.attach(ebpf, name));
    missing.udp = refusal("attach the cgroup_skb programs", attached);
    if missing.udp.is_some() {
        for name in BOTH_WAYS {
            links.remove(name);
        }
    }
}

fn why(action: &'static str, outcome: Result<(), ProgramError>) -> Option<Error> {
    outcome.err().map(|error| program_error(action, &error))
}

fn refusal(action: &'static str, outcome: io::Result<()>) -> Option<Error> {
    outcome.err().map(|error| kernel_error(action, &error))
}
