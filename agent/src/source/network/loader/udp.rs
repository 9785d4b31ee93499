//! The programs that count datagrams: loaded and attached only where a protocol is on UDP, both ways or none.

use agent_ebpf::{CALLER_CAPACITY, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupAttachMode, CgroupSkb, ProgramError},
};

use super::{Missing, error::program_error, typed};
use crate::source::network::cgroup::Cgroup;

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
pub(super) fn load(
    ebpf: &mut Ebpf,
    btf: &Btf,
) -> (Result<(), ProgramError>, Result<(), ProgramError>) {
    let mut names = BOTH_WAYS.iter();
    let both = names.try_for_each(|name| typed::<CgroupSkb>(ebpf, name)?.load());
    let refused = typed::<BtfTracePoint>(ebpf, program::DATAGRAMS_REFUSED)
        .and_then(|program| program.load("udp_fail_queue_rcv_skb", btf));
    (both, refused)
}

/// Attaches them, what takes back first.
pub(super) fn attach(ebpf: &mut Ebpf, cgroup: &Cgroup, missing: &mut Missing) {
    if missing.udp.is_some() {
        return;
    }
    if missing.refused.is_none() {
        let attached = typed::<BtfTracePoint>(ebpf, program::DATAGRAMS_REFUSED)
            .and_then(BtfTracePoint::attach);
        missing.refused = attached
            .err()
            .map(|error| program_error("attach the program for datagrams without room", &error));
    }
    let attached = BOTH_WAYS.iter().try_for_each(|name| {
        let program = typed::<CgroupSkb>(ebpf, name)?;
        let way = *program.expected_attach_type();
        let way = way.ok_or(ProgramError::UnexpectedProgramType)?;
        // As for the socket events: the kernel adds to a link's mode that there may be others.
        let mode = CgroupAttachMode::Single;
        program.attach(&cgroup.directory, way, mode).map(drop)
    });
    if let Err(error) = attached {
        missing.udp = Some(program_error("attach the cgroup_skb programs", &error));
        for name in BOTH_WAYS {
            // Unloading detaches; where one was not attached, so be it.
            drop(typed::<CgroupSkb>(ebpf, name).map(CgroupSkb::unload));
        }
    }
}
