//! Alternative hooks: which iterators find open accounts, and which hooks count messages, depends on the kernel.

use std::io;

use agent_ebpf::{map, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FExit, Iter, ProgramError},
};

use super::{
    links::Links,
    object::{iterator, map_fd, typed},
};
use crate::source::network::{
    error::{BpfError, program_error},
    sys::Iterator,
};

/// What finds open accounts. `SocketStorage` is complete and cheaper. `TaskFile` is for kernels that refuse it or that
/// it could crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountIterators {
    /// `iter/bpf_sk_storage_map`: every account.
    SocketStorage,
    /// `iter/task_file`: accounts of sockets that a process holds.
    TaskFile,
}

impl AccountIterators {
    /// The programs that settle and reclassify.
    fn programs(self) -> [&'static str; 2] {
        match self {
            Self::SocketStorage => [program::SETTLE, program::RECLASSIFY],
            Self::TaskFile => [program::SETTLE_BY_FILE, program::RECLASSIFY_BY_FILE],
        }
    }

    /// The kernel's name of the iterator.
    fn iterator(self) -> &'static str {
        match self {
            Self::SocketStorage => "bpf_sk_storage_map",
            Self::TaskFile => "task_file",
        }
    }

    /// Loads the best programs that this kernel accepts, and says why they are not `SocketStorage`.
    pub(super) fn choose(
        ebpf: &mut Ebpf,
        btf: &Btf,
        storage_iterators: bool,
    ) -> Result<(Self, Option<BpfError>), ProgramError> {
        let error = if storage_iterators {
            match Self::SocketStorage.load(ebpf, btf) {
                Ok(()) => return Ok((Self::SocketStorage, None)),
                Err(error) => program_error("load the iterators over socket storage", &error),
            }
        } else {
            BpfError::UnsafeDirectory("an iterator over socket storage could crash this kernel")
        };
        Self::TaskFile.load(ebpf, btf)?;
        Ok((Self::TaskFile, Some(error)))
    }

    fn load(self, ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
        self.programs()
            .iter()
            .try_for_each(|name| typed::<Iter>(ebpf, name)?.load(self.iterator(), btf))
    }

    pub(super) fn attach(self, ebpf: &Ebpf) -> Result<[Iterator; 2], BpfError> {
        let map = match self {
            Self::SocketStorage => Some(map_fd(ebpf, map::SOCKETS)?),
            Self::TaskFile => None,
        };
        let [settle, reclassify] = self.programs();
        Ok([
            iterator(ebpf, settle, map)?,
            iterator(ebpf, reclassify, map)?,
        ])
    }
}

/// The TCP functions whose exits count messages.
pub(super) const EXITS: [&str; 2] = ["tcp_sendmsg", "tcp_recvmsg"];

/// Which hooks count messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageHooks {
    /// The socket tracepoints.
    Tracepoints,
    /// The exits of TCP's functions.
    Exits,
}

impl MessageHooks {
    /// The programs and their hooks.
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

    /// The first hook.
    pub(crate) fn name(self) -> &'static str {
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
