//! Two ways to the same end, by what the kernel has: how open accounts are found, and how messages are counted.

use std::io;

use agent_ebpf::{map, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FExit, Iter, ProgramError},
};

use super::{
    Error, Iterator, Links,
    error::program_error,
    object::{iterator, map_fd, typed},
};

/// What finds open accounts. `Accounts` is complete and cheaper; `Files` is for kernels that refuse it, or on which it
/// could crash the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// `iter/bpf_sk_storage_map`: all there are.
    Accounts,
    /// `iter/task_file`: those whose sockets processes hold.
    Files,
}

impl Walk {
    /// What settles, and what reclassifies.
    fn programs(self) -> [&'static str; 2] {
        match self {
            Self::Accounts => [program::SETTLE, program::RECLASSIFY],
            Self::Files => [program::SETTLE_BY_FILE, program::RECLASSIFY_BY_FILE],
        }
    }

    /// The kernel's name for it.
    fn iterator(self) -> &'static str {
        match self {
            Self::Accounts => "bpf_sk_storage_map",
            Self::Files => "task_file",
        }
    }

    /// Loads the programs of the better way that this kernel offers; and why it is not the best, where it is not.
    pub(super) fn choose(
        ebpf: &mut Ebpf,
        btf: &Btf,
        storage_iterators: bool,
    ) -> Result<(Self, Option<Error>), ProgramError> {
        let error = if storage_iterators {
            match Self::Accounts.load(ebpf, btf) {
                Ok(()) => return Ok((Self::Accounts, None)),
                Err(error) => program_error("load the iterators over socket storage", &error),
            }
        } else {
            Error::Unsafe("an iterator over socket storage could crash this kernel")
        };
        Self::Files.load(ebpf, btf)?;
        Ok((Self::Files, Some(error)))
    }

    fn load(self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
        self.programs()
            .iter()
            .try_for_each(|name| typed::<Iter>(ebpf, name)?.load(self.iterator(), btf))
    }

    pub(super) fn attach(self, ebpf: &Ebpf) -> Result<[Iterator; 2], Error> {
        let map = match self {
            Self::Accounts => Some(map_fd(ebpf, map::SOCKETS)?),
            Self::Files => None,
        };
        let [settle, reclassify] = self.programs();
        Ok([
            iterator(ebpf, settle, map)?,
            iterator(ebpf, reclassify, map)?,
        ])
    }
}

/// The functions of TCP at whose exits messages are counted.
pub(super) const EXITS: [&str; 2] = ["tcp_sendmsg", "tcp_recvmsg"];

/// By which hooks messages are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum MessageHooks {
    /// The tracepoints of sockets.
    Tracepoints,
    /// The exits of TCP's functions.
    Exits,
}

impl MessageHooks {
    /// The programs, and what each is attached to.
    fn programs(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Tracepoints => [
                (program::SENT, "sock_send_length"),
                (program::RECEIVED, "sock_recv_length"),
            ],
            Self::Exits => [
                (program::SENT_AT_EXIT, EXITS[0]),
                (program::RECEIVED_AT_EXIT, EXITS[1]),
            ],
        }
    }

    /// The first hook's name.
    pub(in super::super) fn name(self) -> &'static str {
        self.programs()[0].1
    }

    pub(super) fn load(self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
        self.programs()
            .iter()
            .try_for_each(|(name, hook)| match self {
                Self::Tracepoints => typed::<BtfTracePoint>(ebpf, name)?.load(hook, btf),
                Self::Exits => typed::<FExit>(ebpf, name)?.load(hook, btf),
            })
    }

    pub(super) fn attach(self, ebpf: &Ebpf, links: &mut Links) -> io::Result<()> {
        self.programs()
            .into_iter()
            .try_for_each(|(name, _)| links.attach(ebpf, name))
    }
}
