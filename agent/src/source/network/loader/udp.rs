//! The programs that count datagrams: loaded and attached only where a protocol is on UDP, both ways or none.

use agent_ebpf::{CALLER_CAPACITY, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, FExit, ProgramError},
};

use super::{Error, Links, Missing, error::program_error, object::typed};
use crate::source::network::cgroup::Cgroup;

/// What says that a datagram found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Refused {
    /// The tracepoint.
    Told,
    /// Of IPv6, before Linux 6.5, only the exit of the function that would have taken it.
    AtExit,
}

const AT_EXIT: &str = "attach to the exit of __udp_enqueue_schedule_skb";
const BOTH_WAYS: [&str; 2] = [program::DATAGRAMS_OUT, program::DATAGRAMS_IN];

/// How long the tables of ports and of callers are; without UDP as short as can be.
pub(super) fn lengths(wanted: bool) -> (u32, u32) {
    const PORTS: u32 = 1 << 16;
    if wanted {
        (PORTS, CALLER_CAPACITY)
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
            .and_then(|program| program.load("__udp_enqueue_schedule_skb", btf));
        missing.refused_v6 = why(AT_EXIT, at_exit);
    }
}

/// Attaches them, what takes back first.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    links: &mut Links,
    cgroup: &Cgroup,
    refused: Refused,
    missing: &mut Missing,
) {
    if missing.udp.is_some() {
        return;
    }
    if missing.refused.is_none() {
        let mut attach = || {
            let program = typed::<BtfTracePoint>(ebpf, program::DATAGRAMS_REFUSED)?;
            let id = program.attach()?;
            links.add(program::DATAGRAMS_REFUSED, program.take_link(id)?)
        };
        let action = "attach the program for datagrams without room";
        missing.refused = why(action, attach());
    }
    if refused == Refused::AtExit && missing.refused_v6.is_none() {
        let mut attach = || {
            let program = typed::<FExit>(ebpf, program::DATAGRAMS_REFUSED_AT_EXIT)?;
            let id = program.attach()?;
            links.add(program::DATAGRAMS_REFUSED_AT_EXIT, program.take_link(id)?)
        };
        missing.refused_v6 = why(AT_EXIT, attach());
    }
    let attached = BOTH_WAYS.iter().try_for_each(|name| {
        let program = typed::<CgroupSkb>(ebpf, name)?;
        let way = *program.expected_attach_type();
        let way = way.ok_or(ProgramError::UnexpectedProgramType)?;
        // As for the socket events: the kernel adds to a link's mode that there may be others.
        let mode = CgroupAttachMode::Single;
        let id = program.attach(&cgroup.directory, way, mode)?;
        links.add(name, program.take_link(id)?)
    });
    missing.udp = why("attach the cgroup_skb programs", attached);
    if missing.udp.is_some() {
        for name in BOTH_WAYS {
            links.remove(name);
        }
    }
}

fn why(action: &'static str, outcome: Result<(), ProgramError>) -> Option<Error> {
    outcome.err().map(|error| program_error(action, &error))
}
