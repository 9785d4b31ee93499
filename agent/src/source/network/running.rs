//! The source after its programs are attached: starts, follows the configuration, reads.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use agent_ebpf::{Control, UnexpectedPeer};
use tracing::{info, warn};

use super::{
    bpf_stats::{dropped, map_fill, taken},
    clock::Clock,
    decode::{Published, Settle, SlotReading, to_page_buckets},
    desired_state::{DesiredState, DesiredStateCell},
    gaps::AttachmentGaps,
    kernel_record::read,
    limits,
    loader::{MessageHooks, Programs},
    pin::Pins,
    prepared::Prepared,
    records::{RecordReader, Witnesses},
    slot_names::SlotNames,
    socket_owners::SocketOwners,
    sys,
    tables::Tables,
    unexpected_peers::UnexpectedPeers,
};
use crate::{
    config::Histograms,
    privilege,
    sample::{Accounting, FailureKind, Network, ProgramRuns, Traffic},
    source::Failure,
};

pub(super) struct Running {
    pub(super) programs: Programs,
    desired: Arc<DesiredState>,
    tables: Tables,
    /// Connections that started during a change of the tables may have used the old ones.
    reclassify_again: bool,
    names: SlotNames,
    published: Published,
    auto_parties: u32,
    settled: u64,
    socket_owners: SocketOwners,
    /// Whether the last scan failed, which is logged once.
    owners_unreadable: bool,
    unexpected_peers: UnexpectedPeers,
    /// The processes whose other connections are watched.
    watched: BTreeSet<u32>,
    pub(super) limits: Vec<String>,
    pub(super) gaps: AttachmentGaps,
    /// Why the pins cannot be restored.
    pub(super) unpinned: Option<String>,
    pub(super) accounting: Accounting,
    since: SystemTime,
    clock: Clock,
}

impl Running {
    /// Loads, attaches and adopts, resuming an earlier agent's counters if possible. Then drops the privileges that
    /// only a start needs.
    ///
    /// # Errors
    /// The first thing that this machine or its privileges do not allow.
    pub(super) fn start(cell: &DesiredStateCell, pins: &mut Pins) -> Result<Self, Failure> {
        let desired = cell.get();
        let tables = Tables::new(&desired.config, &desired.resolved, &desired.layout);
        let start_point = pins.start(&desired.layout);
        let start_point =
            start_point.map_err(|reason| Failure::new(FailureKind::Unsupported, reason))?;
        let (since, taken_over) = (start_point.since, start_point.taken_over);
        let prepared = Prepared::new(&desired.config, &desired.layout, start_point);
        sys::release_memory();
        let Prepared {
            loaded,
            kernel,
            cgroup,
            message_hooks,
        } = prepared?;
        let programs = loaded.attach(&tables, &desired.layout, cgroup.as_ref().ok());
        let programs = programs?;
        if taken_over {
            programs
                .reclassify()
                .map_err(|error| read_failure("look at open connections again", &error))?;
        }
        programs
            .adopt()
            .map_err(|error| read_failure("adopt open connections", &error))?;

        let degraded = programs.degraded();
        let mut limits = limits::limits(&desired.config, &kernel, cgroup.as_ref(), degraded);
        limits.extend(pins.limit().cloned());
        for limit in &limits {
            warn!("network source degraded: {limit}");
        }
        let udp = desired.config.wants_udp() && limits::no_udp(cgroup.as_ref(), degraded).is_none();
        privilege::keep_for_reading(udp);
        let events = cgroup.is_ok() && degraded.events.is_none();
        let message_hooks = message_hooks.filter(|_| degraded.messages.is_none());
        let latency = desired.config.network.latency;
        let kernel = sysinfo::System::kernel_version().unwrap_or_default();
        let bytes = programs.accounting();
        let (claimed, _) = bytes.split_once('+').unwrap_or((bytes, ""));
        info!(%kernel, "counting: claimed at {claimed}, settled from tcp_sock");
        let pin = if programs.are_pinned() { "on" } else { "off" };
        let watched = programs.watched();
        let watched =
            watched.map_err(|error| read_failure("read the watched processes", &error))?;
        Ok(Self {
            settled: programs.control().unwrap_or_default().settled,
            programs,
            tables,
            names: SlotNames::new(&desired.config, &desired.layout, udp),
            desired,
            reclassify_again: taken_over,
            published: Published::default(),
            auto_parties: 0,
            socket_owners: SocketOwners::default(),
            owners_unreadable: false,
            unexpected_peers: UnexpectedPeers::new(Instant::now()),
            watched,
            limits,
            gaps: AttachmentGaps::new(Instant::now()),
            unpinned: None,
            since,
            clock: Clock::default(),
            accounting: Accounting {
                bytes,
                latency: match (latency, events) {
                    (false, _) => "off",
                    (true, true) => "sock_ops",
                    (true, false) => "settle",
                },
                messages: message_hooks.map_or("off", MessageHooks::name),
                udp: if udp { "cgroup_skb" } else { "off" },
                pin,
                kernel,
            },
        })
    }

    /// Follows the desired state, for open connections too. The next round repeats what fails. After a `gap`, adopts
    /// open connections that were missed.
    pub(super) fn apply(&mut self, desired: Arc<DesiredState>, gap: bool) -> Result<(), Failure> {
        // Twice: the next round sees the connections that are being established now.
        let reclassify_again = self.reclassify_again;
        self.reclassify_again |= gap;
        let next = (!Arc::ptr_eq(&desired, &self.desired))
            .then(|| Tables::new(&desired.config, &desired.resolved, &desired.layout));
        if let Some(next) = &next {
            self.programs
                .reconfigure(&self.tables, next, &desired.layout)?;
        }
        if next.is_some() || gap || reclassify_again {
            self.programs.attach_tcp_state()?;
            self.programs
                .reclassify()
                .map_err(|error| read_failure("look at open connections again", &error))?;
            self.programs
                .adopt()
                .map_err(|error| read_failure("adopt open connections", &error))?;
            self.reclassify_again = next.is_some() || gap;
        }
        if let Some(next) = next {
            self.names.extend(&desired.config, &desired.layout);
            self.tables = next;
            self.desired = desired;
        }
        Ok(())
    }

    pub(super) fn read(&mut self) -> Result<Network, Failure> {
        let before = SystemTime::now();
        self.programs
            .settle()
            .map_err(|error| read_failure("settle", &error))?;
        let control = self.programs.control().unwrap_or_default();
        let read = Duration::from_nanos(control.clock);
        self.clock.observe(before, read, SystemTime::now());
        self.programs.update_tcp_state(&control)?;
        if control.auto_parties != self.auto_parties {
            let read =
                |error: aya::maps::MapError| read_failure("read the automatic parties", &error);
            let automatic = self.programs.auto_parties().map_err(read)?;
            self.names.add_automatic(&automatic);
            // A number may be assigned before its entry is written, or without one: ask again.
            if automatic.len() >= taken(&control, &self.tables) as usize {
                self.auto_parties = control.auto_parties;
            }
        }
        self.programs
            .map_histograms(&control)
            .map_err(|error| read_failure("read the round-trip times", &error))?;
        let traffic = self.traffic(&control);
        self.find_socket_owners(&traffic);
        let open = control.settled - std::mem::replace(&mut self.settled, control.settled);
        let statistics = self.programs.statistics();
        Ok(Network {
            traffic,
            sessions: (!self.owners_unreadable).then(|| self.socket_owners.sessions(&self.names)),
            limits: self.limits(),
            dropped: dropped(&control, &statistics),
            maps: map_fill(&control, &self.tables, open),
            programs: statistics
                .iter()
                .filter(|(_, statistics)| statistics.runs > 0)
                .map(|(program, statistics)| ProgramRuns {
                    program,
                    runs: statistics.runs,
                    nanoseconds: statistics.nanoseconds,
                })
                .collect(),
            gaps: self.gaps.sample(Instant::now()),
            accounting: self.accounting.clone(),
            since: Some(self.since),
            read,
        })
    }

    /// Reads every slot once.
    fn traffic(&mut self, control: &Control) -> Vec<Traffic> {
        let Self {
            programs,
            names,
            published,
            ..
        } = self;
        let settle = Settle {
            walk: control.walk,
            clock: control.clock,
        };
        let exponential = self.desired.config.otlp.histograms == Histograms::Exponential;
        let times = |number| {
            let histogram = (number != 0)
                .then(|| programs.histogram(number))
                .flatten()?;
            Some(to_page_buckets(&histogram, exponential))
        };
        let mut traffic = Vec::with_capacity(names.slots.len());
        for (slot, labels) in &names.slots {
            let Some(counters) = programs.counters(*slot) else {
                continue;
            };
            let reading = SlotReading {
                latency: times(counters.latency),
                waiting: times(counters.waiting),
                counters,
            };
            if let Some((next, shown)) = published.next(names, (*slot, labels), reading, settle) {
                if shown != counters.shown {
                    programs.note_shown(*slot, shown);
                }
                traffic.push(next);
            }
        }
        traffic
    }

    /// Passes ended connections to the witnesses, and open ones to those that ask for them.
    pub(super) fn notify(&mut self, witnesses: &mut Witnesses) -> Result<(), Failure> {
        let reader = RecordReader::new(&self.names, self.clock);
        while let Some(bytes) = self.programs.next_record() {
            if let Some(connection) = reader.read(&bytes) {
                for witness in witnesses.iter_mut() {
                    witness.ended(&connection);
                }
            }
        }
        for witness in witnesses.iter_mut().filter(|it| it.wants_open()) {
            let open = self
                .programs
                .connections()
                .map_err(|error| read_failure("read the open connections", &error))?;
            witness.open(reader.read_all(&open));
        }
        Ok(())
    }

    /// Makes the kernel side report the other connections of processes that hold MPC connections.
    fn watch_processes(&mut self) {
        // Without configured parties, any address may be a party.
        let has_parties = !self.desired.config.parties.is_empty();
        let (added, removed) = self.socket_owners.changes(&mut self.watched, has_parties);
        if let Err(error) = self.programs.watch(&added, &removed) {
            warn!("cannot watch the processes that hold connections: {error}");
        }
    }

    /// Finds the processes that hold connections, if they may have changed, and reports unexpected peers.
    fn find_socket_owners(&mut self, traffic: &[Traffic]) {
        let now = Instant::now();
        while let Some(bytes) = self.programs.next_unexpected_peer() {
            if let Some(peer) = read::<UnexpectedPeer>(&bytes) {
                self.unexpected_peers.add(peer, now);
            }
        }
        // An opening and a closing change the sum; adopted connections appear as open.
        let changes = traffic.iter().map(|it| {
            let ends = it.opened.iter().chain(&it.closed);
            ends.fold(it.open, |sum, count| sum.wrapping_add(*count))
        });
        let changes = changes.fold(0, u64::wrapping_add);
        if self
            .socket_owners
            .is_due(changes, self.unexpected_peers.has_pending(), now)
        {
            match self.programs.socket_owners() {
                Ok(written) => {
                    self.owners_unreadable = false;
                    self.socket_owners.update(&written, changes, now);
                    self.watch_processes();
                }
                Err(error) => {
                    if !self.owners_unreadable {
                        warn!("cannot find the processes that hold connections: {error}");
                    }
                    self.owners_unreadable = true;
                }
            }
        }
        self.unexpected_peers
            .report(&self.socket_owners.found, &self.names, now);
    }
}

fn read_failure(action: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureKind::Read, format!("cannot {action}: {error}"))
}
