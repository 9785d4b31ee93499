//! The programs that count datagrams, loaded and attached if a protocol uses UDP: both directions or none.

use std::io;

use agent_ebpf::{UNEXPECTED_SENDER_CAPACITY, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupSkb, FExit, ProgramError},
};

use super::{degraded::Degraded, links::Links, object::typed};
use crate::source::network::error::{BpfError, kernel_error, program_error};

/// What reports datagrams that are dropped for lack of buffer space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UdpDropHooks {
    /// The tracepoint, for both address families.
    Tracepoint,
    /// Before Linux 6.5: the tracepoint, and for IPv6 the exit of the function that queues datagrams.
    TracepointAndExit,
}

/// The function that queues datagrams.
pub(super) const EXIT: &str = "__udp_enqueue_schedule_skb";
const AT_EXIT: &str = "attach to the exit of __udp_enqueue_schedule_skb";
const BOTH_WAYS: [&str; 2] = [program::DATAGRAMS_OUT, program::DATAGRAMS_IN];

/// Lengths of the tables of ports and of unexpected senders; minimal without UDP.
pub(super) fn lengths(wanted: bool) -> (u32, u32) {
    const PORTS: u32 = 1 << 16;
    if wanted {
        (PORTS, UNEXPECTED_SENDER_CAPACITY)
    } else {
        (1, 1)
    }
}

/// Loads the counting programs and those that subtract drops.
pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf, hooks: UdpDropHooks, degraded: &mut Degraded) {
    let mut names = BOTH_WAYS.iter();
    let both = names.try_for_each(|name| typed::<CgroupSkb>(ebpf, name)?.load());
    degraded.udp = why("load the cgroup_skb programs", both);
    degraded.udp_drops = why(
        "load the program for datagrams without room",
        typed::<BtfTracePoint>(ebpf, program::DATAGRAMS_REFUSED)
            .and_then(|program| program.load("udp_fail_queue_rcv_skb", btf)),
    );
    if hooks == UdpDropHooks::TracepointAndExit {
        let at_exit = typed::<FExit>(ebpf, program::DATAGRAMS_REFUSED_AT_EXIT)
            .and_then(|program| program.load(EXIT, btf));
        degraded.udp_drops_v6 = why(AT_EXIT, at_exit);
    }
}

/// Attaches them, those that subtract first.
pub(super) fn attach(ebpf: &Ebpf, links: &mut Links, hooks: UdpDropHooks, degraded: &mut Degraded) {
    if degraded.udp.is_some() {
        return;
    }
    if degraded.udp_drops.is_none() {
        let action = "attach the program for datagrams without room";
        degraded.udp_drops = refusal(action, links.attach(ebpf, program::DATAGRAMS_REFUSED));
    }
    if hooks == UdpDropHooks::TracepointAndExit && degraded.udp_drops_v6.is_none() {
        let attached = links.attach(ebpf, program::DATAGRAMS_REFUSED_AT_EXIT);
        degraded.udp_drops_v6 = refusal(AT_EXIT, attached);
    }
    let attached = BOTH_WAYS
        .into_iter()
        .try_for_each(|name| links.attach(ebpf, name));
    degraded.udp = refusal("attach the cgroup_skb programs", attached);
    if degraded.udp.is_some() {
        for name in BOTH_WAYS {
            links.remove(name);
        }
    }
}

fn why(action: &'static str, outcome: Result<(), ProgramError>) -> Option<BpfError> {
    outcome.err().map(|error| program_error(action, &error))
}

fn refusal(action: &'static str, outcome: io::Result<()>) -> Option<BpfError> {
    outcome.err().map(|error| kernel_error(action, &error))
}
