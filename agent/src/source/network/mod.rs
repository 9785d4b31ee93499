//! The network source: bytes by party and protocol, counted by the kernel and attributed by our programs.
//!
//! `wanted` is what to count. `layout` gives parties and protocols their numbers, `tables` turns the configuration
//! into the kernel's tables, `resolve` its host names into addresses, which `lookup` asks for, `host_names` does that before a
//! start, `own` knows this machine's addresses, `room` what the tables take, `btf`
//! finds the kernel's fields and `cgroup` its sockets, `loader` runs the programs, `decode` names what they counted,
//! `pin` has what outlives the agent, `upkeep` what somebody takes away, `holders` the processes, `records` the connections one by one, `strangers` tells
//! who should not be there, `explain` what does not work here.

mod address;
pub mod btf;
pub mod cgroup;
mod clock;
mod decode;
mod explain;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gaps;
mod holders;
pub mod host_names;
pub mod layout;
mod loader;
mod lookup;
mod own;
pub mod pin;
mod records;
pub mod resolve;
pub mod room;
mod strangers;
mod sys;
pub mod tables;
mod upkeep;
pub mod wanted;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use agent_ebpf::{Control, DropReason, ENDPOINT_CAPACITY, PREFIX_CAPACITY, Settings, program};
use tracing::{info, warn};

pub use self::explain::probe;
use self::{
    btf::{Hooks, Kernel},
    cgroup::Cgroup,
    clock::Clock,
    decode::{Published, in_classes},
    explain::explain,
    gaps::Gaps,
    holders::Holders,
    layout::Layout,
    loader::{Fit, Loaded, MessageHooks, Programs},
    pin::{Base, Pins},
    records::{ConnectionObservers, Reader},
    strangers::Strangers,
    sys::ProgramStatistics,
    tables::{Names, Tables},
    wanted::{Plan, Wanted},
};
use super::{Failure, Source};
use crate::{
    config::{Config, Histograms},
    privilege,
    sample::{Accounting, ConnectionObserver, FailureKind, MapFill, Network, ProgramRuns, Traffic},
};

/// Reads what the kernel has counted.
pub struct NetworkSource {
    wanted: Arc<Wanted>,
    pins: Pins,
    observers: ConnectionObservers,
    running: Option<Running>,
}

/// What there is once the programs are attached.
struct Running {
    programs: Programs,
    plan: Arc<Plan>,
    tables: Tables,
    /// Connections that began while the tables changed may have been looked up in the old ones.
    look_again: bool,
    names: Names,
    published: Published,
    auto_parties: u32,
    settled: u64,
    holders: Holders,
    /// Why processes could not be looked at, said once.
    no_holders: bool,
    strangers: Strangers,
    /// The MPC programs whose other connections are looked at.
    watched: BTreeSet<u32>,
    limits: Vec<String>,
    gaps: Gaps,
    /// Why counters are not pinned any more.
    unpinned: Option<String>,
    accounting: Accounting,
    since: SystemTime,
    clock: Clock,
}

impl NetworkSource {
    /// A source that has touched nothing yet. The observers are told of connections one by one, if the configuration
    /// wants that.
    pub fn new(
        wanted: &Arc<Wanted>,
        pins: Pins,
        observers: Vec<Box<dyn ConnectionObserver>>,
    ) -> Self {
        Self {
            wanted: Arc::clone(wanted),
            pins,
            observers,
            running: None,
        }
    }

    /// Loads, attaches, adopts, from what an agent before this one has left where there is such; then gives up the privileges that only this needs.
    ///
    /// # Errors
    /// The first thing that this machine or these privileges do not allow.
    fn start(&mut self) -> Result<Running, Failure> {
        let plan = self.wanted.get();
        let tables = Tables::new(&plan.config, &plan.resolved, &plan.layout);
        let base = self.pins.begin(&plan.layout);
        let base = base.map_err(|reason| Failure::new(FailureKind::Unsupported, reason))?;
        let (since, taken_over) = (base.since, base.taken_over);
        let prepared = Prepared::new(&plan.config, &plan.layout, base);
        sys::release_memory();
        let Prepared {
            loaded,
            kernel,
            cgroup,
            messages,
        } = prepared?;
        let programs = loaded.attach(&tables, &plan.layout, cgroup.as_ref().ok());
        let programs = programs.map_err(|error| explain(&error))?;
        if taken_over {
            programs
                .reclassify()
                .map_err(|error| read_failure("look at open connections again", &error))?;
        }
        programs
            .adopt()
            .map_err(|error| read_failure("adopt open connections", &error))?;

        let missing = programs.missing();
        let mut limits = explain::limits(&plan.config, &kernel, cgroup.as_ref(), missing);
        limits.extend(self.pins.limit().cloned());
        for limit in &limits {
            warn!("the network source goes without: {limit}");
        }
        let udp = plan.config.wants_udp() && explain::no_udp(cgroup.as_ref(), missing).is_none();
        privilege::keep_for_reading(udp);
        let events = cgroup.is_ok() && missing.events.is_none();
        let messages = messages.filter(|_| missing.messages.is_none());
        let latency = plan.config.network.latency;
        let kernel = sysinfo::System::kernel_version().unwrap_or_default();
        let bytes = programs.accounting();
        let (claimed, _) = bytes.split_once('+').unwrap_or((bytes, ""));
        info!(%kernel, "counting: claimed at {claimed}, settled from tcp_sock");
        let pin = if programs.are_pinned() { "on" } else { "off" };
        let watched = programs.watched();
        let watched =
            watched.map_err(|error| read_failure("read the watched processes", &error))?;
        Ok(Running {
            settled: programs.control().unwrap_or_default().settled,
            programs,
            tables,
            names: Names::new(&plan.config, &plan.layout, udp),
            plan,
            look_again: taken_over,
            published: Published::default(),
            auto_parties: 0,
            holders: Holders::default(),
            no_holders: false,
            strangers: Strangers::new(Instant::now()),
            watched,
            limits,
            gaps: Gaps::new(Instant::now()),
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
                messages: messages.map_or("off", MessageHooks::name),
                udp: if udp { "cgroup_skb" } else { "off" },
                pin,
                kernel,
            },
        })
    }
}

/// The programs as the kernel has accepted them, attached to nothing, and what they are to be attached to.
struct Prepared {
    loaded: Loaded,
    kernel: Kernel,
    cgroup: Result<Cgroup, String>,
    /// `None` where it is not wanted.
    messages: Option<MessageHooks>,
}

impl Prepared {
    fn new(config: &Config, layout: &Layout, base: Base) -> Result<Self, Failure> {
        let wants = &config.network;
        let raw = btf::raw().map_err(|error| {
            let help = "mount sysfs, or take a kernel that is built with CONFIG_DEBUG_INFO_BTF";
            let reason = format!("no kernel BTF ({}: {error}); help: {help}", btf::KERNEL);
            Failure::new(FailureKind::Unsupported, reason)
        })?;
        let unsupported =
            |error: btf::Error| Failure::new(FailureKind::Unsupported, error.to_string());
        let kernel = btf::read(&raw).map_err(unsupported)?;
        let hooks = Hooks::find(&raw, &loader::FUNCTIONS).map_err(unsupported)?;
        // Some 6 MB that a limit on the agent's memory would have to allow for.
        drop(raw);
        let udp = config.wants_udp();
        let cgroup = cgroup::open(wants.cgroup.as_deref());
        let messages = wants.messages.then_some(if kernel.message_tracepoints {
            MessageHooks::Tracepoints
        } else {
            MessageHooks::Exits
        });
        let fit = Fit {
            hooks,
            offsets: kernel.offsets,
            settings: Settings {
                latency: u32::from(wants.latency),
                watch_end: u32::from(kernel.preemptible_tracepoints),
                receive_parameters: kernel.receive_parameters.unwrap_or(0),
                records: u32::from(config.wants_records()),
                generation: base.generation,
            },
            storage_iterators: kernel.storage_iterators_are_safe,
            events: cgroup.is_ok(),
            messages,
            udp: (udp && cgroup.is_ok()).then(explain::refused),
            slots: layout.slots(),
            histograms: layout.histograms(),
            base,
            log: config.log.bpf_level,
        };
        let loaded = Loaded::new(fit).map_err(|error| explain(&error))?;
        Ok(Self {
            loaded,
            kernel,
            cgroup,
            messages,
        })
    }
}

impl Source for NetworkSource {
    type Sample = Network;

    fn name(&self) -> Arc<str> {
        "network".into()
    }

    fn collect(&mut self) -> Result<Network, Failure> {
        let running = if let Some(running) = self.running.take() {
            running
        } else {
            self.start()?
        };
        let running = self.running.insert(running);
        let gap = running.attach_again()?;
        running.pin_again(&mut self.pins);
        running.follow(self.wanted.get(), gap)?;
        let network = running.read()?;
        running.tell(&mut self.observers)?;
        Ok(network)
    }
}

impl Running {
    /// Counts by the plan from now on, open connections too. What fails is done again in the next round. `gap`: some were
    /// missed, and those that are open count from now on.
    fn follow(&mut self, plan: Arc<Plan>, gap: bool) -> Result<(), Failure> {
        // Twice: what is being established now is seen in the next round.
        let look_again = self.look_again;
        self.look_again |= gap;
        let next = (!Arc::ptr_eq(&plan, &self.plan))
            .then(|| Tables::new(&plan.config, &plan.resolved, &plan.layout));
        if let Some(next) = &next {
            self.programs
                .change(&self.tables, next, &plan.layout)
                .map_err(|error| explain(&error))?;
        }
        if next.is_some() || gap || look_again {
            self.programs
                .watch_transitions()
                .map_err(|error| explain(&error))?;
            self.programs
                .reclassify()
                .map_err(|error| read_failure("look at open connections again", &error))?;
            self.programs
                .adopt()
                .map_err(|error| read_failure("adopt open connections", &error))?;
            self.look_again = next.is_some() || gap;
        }
        if let Some(next) = next {
            self.names.take_in(&plan.config, &plan.layout);
            self.tables = next;
            self.plan = plan;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Network, Failure> {
        let before = SystemTime::now();
        self.programs
            .settle()
            .map_err(|error| read_failure("settle", &error))?;
        let control = self.programs.control().unwrap_or_default();
        let read = Duration::from_nanos(control.clock);
        self.clock.see(before, read, SystemTime::now());
        self.programs
            .follow_transitions(&control)
            .map_err(|error| explain(&error))?;
        if control.auto_parties != self.auto_parties {
            let read =
                |error: aya::maps::MapError| read_failure("read the automatic parties", &error);
            let automatic = self.programs.auto_parties().map_err(read)?;
            self.names.learn(&automatic);
            // A number may be taken and its entry not be written yet, or taken in vain: ask again then.
            if automatic.len() >= taken(&control, &self.tables) as usize {
                self.auto_parties = control.auto_parties;
            }
        }
        self.programs
            .map_histograms(&control)
            .map_err(|error| read_failure("read the round-trip times", &error))?;
        let fine = self.plan.config.otlp.histograms == Histograms::Exponential;
        let traffic = self.published.next(
            &self.names,
            (control.walk, control.clock),
            |slot| self.programs.counters(slot),
            |slot, shown| self.programs.note_shown(slot, shown),
            |number| Some(in_classes(&self.programs.histogram(number)?, fine)),
        );
        self.look_at_holders(&traffic);
        let open = control.settled - std::mem::replace(&mut self.settled, control.settled);
        let statistics = self.programs.statistics();
        Ok(Network {
            traffic,
            sessions: (!self.no_holders).then(|| self.holders.sessions(&self.names)),
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

    /// Tells of the connections that have ended, and of those that are open if somebody wants to know.
    fn tell(&mut self, observers: &mut ConnectionObservers) -> Result<(), Failure> {
        let reader = Reader::new(&self.names, self.clock);
        while let Some(bytes) = self.programs.next_record() {
            if let Some(connection) = reader.read(&bytes) {
                for observer in observers.iter_mut() {
                    observer.ended(&connection);
                }
            }
        }
        for observer in observers.iter_mut().filter(|it| it.wants_open()) {
            let open = self
                .programs
                .connections()
                .map_err(|error| read_failure("read the open connections", &error))?;
            observer.open(reader.read_all(&open));
        }
        Ok(())
    }

    /// Has the kernel side look at what else the programs that hold connections connect to.
    fn watch(&mut self) {
        // Without parties, each address may be one.
        let wanted = !self.plan.config.parties.is_empty();
        let (come, gone) = self.holders.news(&mut self.watched, wanted);
        if let Err(error) = self.programs.watch(&come, &gone) {
            warn!("cannot watch the processes that hold connections: {error}");
        }
    }

    /// Finds out which processes hold connections, when that may have changed, and tells of strangers.
    fn look_at_holders(&mut self, traffic: &[Traffic]) {
        let now = Instant::now();
        while let Some(bytes) = self.programs.next_stranger() {
            if let Some(stranger) = holders::stranger(&bytes) {
                self.strangers.came(stranger, now);
            }
        }
        // Of an opening and a closing the sum is another; adopted connections show as open ones.
        let changes = traffic.iter().map(|it| {
            let ends = it.opened.iter().chain(&it.closed);
            ends.fold(it.open, |sum, count| sum.wrapping_add(*count))
        });
        let changes = changes.fold(0, u64::wrapping_add);
        if self
            .holders
            .is_due(changes, self.strangers.are_waiting(), now)
        {
            match self.programs.holders() {
                Ok(written) => {
                    self.no_holders = false;
                    self.holders.looked(&written, changes, now);
                    self.watch();
                }
                Err(error) => {
                    if !self.no_holders {
                        warn!("cannot look at the processes that hold connections: {error}");
                    }
                    self.no_holders = true;
                }
            }
        }
        self.strangers.tell(&self.holders.found, &self.names, now);
    }
}

/// The programs that count messages.
const MESSAGE_PROGRAMS: [&str; 4] = [
    program::SENT,
    program::RECEIVED,
    program::SENT_AT_EXIT,
    program::RECEIVED_AT_EXIT,
];

/// What the programs count themselves; and the most changes of state that can have gone unseen, because both
/// programs that watch for them were interrupted by themselves (and, where `socket_events` watches, were an adopted
/// connection's). Of the programs that count messages there is one each: what they missed is not in its sums.
fn dropped(
    control: &Control,
    statistics: &[(&'static str, ProgramStatistics)],
) -> Vec<(&'static str, u64)> {
    let misses = statistics
        .iter()
        .filter(|(name, _)| [program::SET_STATE, program::SET_STATE_AGAIN].contains(name))
        .map(|(_, statistics)| statistics.misses)
        .min();
    let of_messages = statistics
        .iter()
        .filter(|(name, _)| MESSAGE_PROGRAMS.contains(name))
        .map(|(_, statistics)| statistics.misses);
    DropReason::ALL
        .map(|drop| (drop.name(), control.dropped[drop as usize]))
        .into_iter()
        .chain([
            ("recursion", misses.unwrap_or(0)),
            ("messages_recursion", of_messages.sum()),
        ])
        .collect()
}

/// Automatic parties that were given out.
fn taken(control: &Control, tables: &Tables) -> u32 {
    let most = (tables.slots / tables.stride).saturating_sub(2);
    control
        .auto_parties
        .min(most)
        .saturating_sub(tables.first_auto)
}

fn map_fill(control: &Control, tables: &Tables, open: u64) -> Vec<MapFill> {
    let table = |map, entries: usize, capacity: u32| MapFill {
        map,
        entries: entries as u64,
        capacity: Some(u64::from(capacity)),
    };
    let room = tables.auto_limit.saturating_sub(tables.first_auto);
    let automatic = taken(control, tables).min(room);
    vec![
        table("prefixes", tables.prefixes.len(), PREFIX_CAPACITY),
        table("endpoints", tables.endpoints.len(), ENDPOINT_CAPACITY),
        table("auto_parties", automatic as usize, room),
        table(
            "histograms",
            control.histograms.min(control.histogram_limit) as usize,
            control.histogram_limit,
        ),
        MapFill {
            map: "sockets",
            entries: open,
            capacity: None,
        },
    ]
}

fn read_failure(action: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureKind::Read, format!("cannot {action}: {error}"))
}
