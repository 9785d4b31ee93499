//! The running programs and what they have counted.

use std::{collections::BTreeSet, io, mem::offset_of, os::fd::AsFd as _};

use agent_ebpf::{Address, Control, Counters, Histogram, Shown, map, program};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError, RingBuf},
};

use super::{
    degraded::Degraded, hooks::AccountIterators, links::Links, object::map_fd, pinned::Pinned,
    tcp_state_tracepoint::TcpStateTracepoint,
};
use crate::source::network::{
    error::{BpfError, kernel_error},
    pin,
    sys::{Iterator, Mapped, ProgramStatistics, program_statistics},
};

/// The running programs. Dropping this stops them.
pub(crate) struct Programs {
    pub(super) ebpf: Ebpf,
    pub(super) links: Links,
    pub(super) tcp_state: TcpStateTracepoint,
    pub(super) events_see_all: bool,
    /// Whether `socket_events` sees every socket where it is attached.
    pub(super) events_at_root: bool,
    /// `None` if nothing is pinned.
    pub(super) pinned: Option<Pinned>,
    /// Likewise.
    pub(super) names: Option<pin::PinnedNames>,
    pub(super) account_iterators: AccountIterators,
    pub(super) adopt: Iterator,
    pub(super) arm: Option<Iterator>,
    pub(super) settle: Iterator,
    pub(super) reclassify: Iterator,
    pub(super) local_initiators: Iterator,
    pub(super) socket_owners: Iterator,
    pub(super) connections: Iterator,
    pub(super) counters: Mapped<Counters>,
    pub(super) control: Mapped<Control>,
    pub(super) histograms: Mapped<Histogram>,
    pub(super) unexpected_peers: RingBuf<MapData>,
    pub(super) records: RingBuf<MapData>,
    pub(super) logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    pub(super) degraded: Degraded,
}

impl Programs {
    /// The attached programs.
    pub(crate) fn attached(&self) -> Vec<&'static str> {
        self.links.active.iter().map(|it| it.program).collect()
    }

    /// Whether the programs outlive the agent.
    pub(crate) fn are_pinned(&self) -> bool {
        self.names.is_some()
    }

    /// Updates all counters.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.settle.run()?;
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        Ok(())
    }

    /// Every process with each MPC connection that it holds, as consecutive [`agent_ebpf::SocketOwner`]s.
    pub(crate) fn socket_owners(&self) -> io::Result<Vec<u8>> {
        self.socket_owners.run()
    }

    /// The next ended connection, as the bytes of a [`agent_ebpf::Record`].
    pub(crate) fn next_record(&mut self) -> Option<Vec<u8>> {
        self.records.next().map(|item| item.to_vec())
    }

    /// Every open connection that a process holds, as consecutive [`agent_ebpf::Record`]s; a connection with several
    /// files appears several times.
    pub(crate) fn connections(&self) -> io::Result<Vec<u8>> {
        self.connections.run()
    }

    /// The next unexpected peer, as the bytes of a [`agent_ebpf::UnexpectedPeer`].
    pub(crate) fn next_unexpected_peer(&mut self) -> Option<Vec<u8>> {
        self.unexpected_peers.next().map(|item| item.to_vec())
    }

    /// What could not be loaded or attached.
    pub(crate) fn degraded(&self) -> &Degraded {
        &self.degraded
    }

    /// The value of the label `bytes`: what claims a connection, and what finds it again.
    pub(crate) fn accounting(&self) -> &'static str {
        match (self.events_see_all, self.account_iterators) {
            (true, AccountIterators::SocketStorage) => "sock_ops+sk_storage",
            (true, AccountIterators::TaskFile) => "sock_ops+task_file",
            (false, AccountIterators::SocketStorage) => "inet_sock_set_state+sk_storage",
            (false, AccountIterators::TaskFile) => "inet_sock_set_state+task_file",
        }
    }

    /// The watched processes.
    pub(crate) fn watched(&self) -> Result<BTreeSet<u32>, MapError> {
        let map = self.ebpf.map(map::PROCESSES);
        let map = map.ok_or(MapError::InvalidName {
            name: map::PROCESSES.to_owned(),
        })?;
        HashMap::<_, u32, u32>::try_from(map)?.keys().collect()
    }

    /// Changes the watched processes.
    pub(crate) fn watch(&mut self, added: &[u32], removed: &[u32]) -> Result<(), MapError> {
        let map = self.ebpf.map_mut(map::PROCESSES);
        let map = map.ok_or(MapError::InvalidName {
            name: map::PROCESSES.to_owned(),
        })?;
        let mut processes: HashMap<_, u32, u32> = HashMap::try_from(map)?;
        // A process that is already gone is fine.
        for process in removed {
            drop(processes.remove(process));
        }
        added
            .iter()
            .try_for_each(|process| processes.insert(process, 1, 0))
    }

    /// Keeps what is published of a slot for the next agent.
    pub(crate) fn note_shown(&self, slot: u32, shown: Shown) {
        self.counters.set(slot, offset_of!(Counters, shown), shown);
    }

    /// A slot's counters.
    pub(crate) fn counters(&self, slot: u32) -> Option<Counters> {
        self.counters.read(slot)
    }

    /// Maps the histograms that are in use: mapped pages count as this process's memory, and all of them can take 10
    /// MiB.
    pub(crate) fn map_histograms(&mut self, control: &Control) -> Result<(), BpfError> {
        const STEP: u32 = 32;
        let needed = control.histograms.min(control.histogram_limit) + 1;
        if needed > self.histograms.length() {
            let length = needed
                .next_multiple_of(STEP)
                .min(control.histogram_limit + 1);
            let map = map_fd(&self.ebpf, map::HISTOGRAMS)?;
            self.histograms = Mapped::new(map, length)
                .map_err(|error| kernel_error("map the histograms into memory", &error))?;
        }
        Ok(())
    }

    pub(crate) fn histogram(&self, number: u32) -> Option<Histogram> {
        self.histograms.read(number)
    }

    pub(crate) fn control(&self) -> Option<Control> {
        self.control.read(0)
    }

    /// Every automatic party: address and block.
    pub(crate) fn auto_parties(&self) -> Result<Vec<(Address, u32)>, MapError> {
        let map = self.ebpf.map(map::AUTO_PARTIES);
        let map = map.ok_or(MapError::InvalidName {
            name: map::AUTO_PARTIES.to_owned(),
        })?;
        HashMap::<_, Address, u32>::try_from(map)?.iter().collect()
    }

    /// What the kernel counts about each program.
    pub(crate) fn statistics(&self) -> Vec<(&'static str, ProgramStatistics)> {
        let of = |name| {
            let fd = self.ebpf.program(name)?.fd().ok()?;
            Some((name, program_statistics(fd.as_fd()).ok()?))
        };
        program::ALL.into_iter().filter_map(of).collect()
    }
}
