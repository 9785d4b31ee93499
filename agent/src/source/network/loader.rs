//! Loads the BPF object, fills its tables, attaches its programs, and reads its maps. Nothing but this and
//! what lies under it touches aya.

mod changes;
mod error;
mod fill;
mod fit;
mod hand_over;
mod keep;
mod links;
mod object;
mod owned;
mod pinned;
mod transitions;
mod udp;
mod unread;
mod ways;

use std::{collections::BTreeSet, io, mem::offset_of, os::fd::AsFd as _};

use agent_ebpf::{Address, Control, Counters, Histogram, RECORD_BYTES, Shown, map, program};
use aya::{
    Btf, Ebpf, Endianness, VerifierLogLevel,
    maps::{HashMap, MapData, MapError, RingBuf},
    programs::{Iter, ProgramError, SockOps},
};

pub(super) use self::{
    error::Error,
    fit::{Fit, Missing},
    pinned::{Folder, Removed, Unfit},
    udp::Refused,
    ways::MessageHooks,
};
use self::{
    error::{kernel_error, program_error},
    fill::{begin, fill},
    hand_over::Shared,
    keep::Pinned,
    links::Links,
    object::{iterator, map_fd, ring, typed},
    transitions::Transitions,
    ways::Walk,
};
use super::{
    btf::{Hook, Hooks},
    cgroup::Cgroup,
    layout::Layout,
    pin::Base,
    sys::{Iterator, Mapped, ProgramStatistics, program_statistics, release_memory},
    tables::Tables,
};

/// The object that `build.rs` built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/partymeter-bpf"));

/// Where aya-log-ebpf reads the level of its messages.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// The functions that programs are attached to the exits of.
pub(super) const FUNCTIONS: [&str; 3] = [ways::EXITS[0], ways::EXITS[1], udp::EXIT];

/// The shortest ring that a kernel makes, where pages are of 4 KiB.
const PAGE: u32 = 4096;

/// The programs, accepted by the kernel and not yet attached to anything.
pub(super) struct Loaded {
    ebpf: Ebpf,
    slots: u32,
    log: bool,
    events: bool,
    walk: Walk,
    /// Whether the kernel has taken `arm`.
    arms: bool,
    messages: Option<MessageHooks>,
    udp: Option<Refused>,
    missing: Missing,
    base: Base,
    to_pin: Vec<&'static str>,
}

impl Loaded {
    /// Fits the programs and has the verifier look at them.
    pub(super) fn new(fit: Fit) -> Result<Self, Error> {
        let level = fit.log_level();
        let (udp_ports, callers) = udp::lengths(fit.udp.is_some());
        let recorded = fit.settings.records != 0;
        let records = if recorded { RECORD_BYTES } else { PAGE };
        let to_pin = pinned::maps(fit.udp.is_some(), recorded);
        let mut loader = unread::loader();
        if let Some(folder) = &fit.base.folder {
            folder.pin_maps(&mut loader, &to_pin);
        }
        let mut ebpf = loader
            .map_max_entries(map::UDP_PORTS, udp_ports)
            .map_max_entries(map::UNEXPECTED_SENDERS, callers)
            .btf(None)
            // A refusal's log then is its reason, and not megabytes of instructions.
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global(agent_ebpf::OFFSETS, &fit.offsets, true)
            .override_global(agent_ebpf::SETTINGS, &fit.settings, true)
            .override_global(LOG_LEVEL, &level, true)
            .map_max_entries(map::COUNTERS, fit.slots)
            // Number 0 is nobody's.
            .map_max_entries(map::HISTOGRAMS, fit.histograms + 1)
            .map_max_entries(map::RECORDS, records)
            .load(OBJECT)
            .map_err(|error| kernel_error("create the BPF maps", &error))?;
        let refused = |error: ProgramError| program_error("load the BPF programs", &error);
        let btf = only(&fit.hooks, &[Hook::Iterator])?;
        load(&mut ebpf, &btf).map_err(refused)?;
        let chosen = Walk::choose(&mut ebpf, &btf, fit.storage_iterators);
        let (walk, accounts) = chosen.map_err(refused)?;
        // By themselves: they want one privilege more than the others, or a newer kernel.
        let events = fit
            .events
            .then(|| typed::<SockOps>(&mut ebpf, program::SOCKET_EVENTS)?.load());
        // Older kernels refuse it: there what is adopted is sampled, and watched by `set_state`.
        let arms = typed::<Iter>(&mut ebpf, program::ARM)
            .and_then(|arm| arm.load("tcp", &btf))
            .is_ok();
        // One kind at a time: beside what the kernel takes to look at them, all would be too much.
        drop(btf);
        let btf = only(&fit.hooks, &[Hook::Tracepoint])?;
        Transitions::load(&mut ebpf, &btf).map_err(refused)?;
        let messages = match fit.messages {
            Some(messages @ MessageHooks::Exits) => {
                let btf = only(&fit.hooks, &[Hook::Function])?;
                Some(messages.load(&mut ebpf, &btf))
            }
            messages => messages.map(|messages| messages.load(&mut ebpf, &btf)),
        };
        drop(btf);
        let why = |outcome: Option<Result<(), ProgramError>>, action| {
            let error = outcome.and_then(Result::err)?;
            Some(program_error(action, &error))
        };
        let mut missing = Missing {
            accounts,
            events: why(events, "load the sock_ops program"),
            messages: why(messages, "load the programs that count messages"),
            ..Missing::default()
        };
        if let Some(refused) = fit.udp {
            let hooks: &[Hook] = match refused {
                Refused::Told => &[Hook::Tracepoint],
                Refused::AtExit => &[Hook::Tracepoint, Hook::Function],
            };
            udp::load(&mut ebpf, &only(&fit.hooks, hooks)?, refused, &mut missing);
        }
        Ok(Self {
            ebpf,
            slots: fit.slots,
            log: fit.log.is_some(),
            events: fit.events,
            walk,
            arms,
            messages: fit.messages,
            udp: fit.udp,
            missing,
            base: fit.base,
            to_pin,
        })
    }

    /// What was wanted and goes without.
    pub(super) fn missing(&self) -> &Missing {
        &self.missing
    }

    /// Attaches everything, in an order that leaves no gap: the tables are full before the first socket is
    /// looked at, and what is older than that is adopted last, by the caller. What an agent before this one has left
    /// attached is detached once this is, and until then the claims of both are the same.
    ///
    /// Where `socket_events`, what counts messages or what counts datagrams cannot be attached, all else is; [`Programs::missing`] says why.
    pub(super) fn attach(
        self,
        tables: &Tables,
        layout: &Layout,
        cgroup: Option<&Cgroup>,
    ) -> Result<Programs, Error> {
        let Self {
            mut ebpf,
            slots,
            log,
            events,
            walk,
            arms,
            messages,
            udp,
            mut missing,
            base,
            to_pin,
        } = self;
        object::close_unused(&mut ebpf, log);
        if !base.taken_over {
            begin(&mut ebpf, tables, layout.histograms())?;
        }
        let folder = base.folder.as_ref();
        let names = folder.map(|folder| folder.write(layout, base.since));
        let names = names.transpose()?;
        if let Some(folder) = folder {
            let removed = folder.remove_links(base.generation.wrapping_sub(1));
            removed.map_err(|error| kernel_error("remove pinned links", &error))?;
        }
        fill(&mut ebpf, tables)?;
        let [settle, reclassify] = walk.attach(&ebpf)?;
        let adopt = iterator(&ebpf, program::ADOPT, None)?;
        let arm = arms.then(|| iterator(&ebpf, program::ARM, None));
        let arm = arm.transpose()?;
        let local_initiators = iterator(&ebpf, program::LOCAL_INITIATORS, None)?;
        let holders = iterator(&ebpf, program::SOCKET_OWNERS, None)?;
        let mapped = |error: io::Error| kernel_error("map the counters into memory", &error);
        let counters = Mapped::writable(map_fd(&ebpf, map::COUNTERS)?, slots).map_err(mapped)?;
        let control = Mapped::writable(map_fd(&ebpf, map::CONTROL)?, 1).map_err(mapped)?;
        let histograms = Mapped::new(map_fd(&ebpf, map::HISTOGRAMS)?, 1).map_err(mapped)?;
        let connections = iterator(&ebpf, program::CONNECTIONS, None)?;
        let strangers = ring(&mut ebpf, map::UNEXPECTED_PEERS)?;
        let records = ring(&mut ebpf, map::RECORDS)?;
        let logger = if log {
            let logger = aya_log::EbpfLogger::init(&mut ebpf);
            Some(logger.map_err(|error| kernel_error("read the BPF side's messages", &error))?)
        } else {
            None
        };
        let shared = Shared(&control);
        let cgroup_for_events = cgroup.filter(|_| events && missing.events.is_none());
        let events_before = shared.widen(tables, cgroup_for_events.is_some_and(|it| it.is_root));
        let pinned = folder.map(|folder| Pinned::new(folder, to_pin)).transpose();
        let pinned = pinned.map_err(|error| kernel_error("read what is pinned", &error))?;
        let mut links = Links::new(base.folder, base.generation, cgroup);
        let mut transitions = Transitions::attached(&ebpf, &mut links)?;
        let mut events_see_all = false;
        if let Some(cgroup) = cgroup_for_events {
            match links.attach(&ebpf, program::SOCKET_EVENTS) {
                Ok(()) => events_see_all = cgroup.is_root,
                Err(error) => {
                    missing.events = Some(kernel_error("attach to the cgroup", &error));
                }
            }
        }
        if let (Some(messages), None) = (messages, &missing.messages) {
            let attached = messages.attach(&ebpf, &mut links).err();
            missing.messages = attached
                .map(|error| kernel_error("attach the programs that count messages", &error));
        }
        if let (Some(refused), Some(_)) = (udp, cgroup) {
            udp::attach(&ebpf, &mut links, refused, &mut missing);
        }
        shared.hand_over(base.generation, events_see_all);
        links.remove_others()?;
        shared.narrow(tables, events_see_all);
        // What was claimed before by other means is not armed, and not all of it need be found.
        if events_see_all && (!base.taken_over || events_before) {
            transitions.yield_to_events();
        }
        Ok(Programs {
            ebpf,
            links,
            transitions,
            events_see_all,
            events_at_root: cgroup.is_some_and(|it| it.is_root),
            pinned,
            names,
            walk,
            adopt,
            arm,
            settle,
            reclassify,
            local_initiators,
            holders,
            connections,
            counters,
            control,
            histograms,
            strangers,
            records,
            logger,
            missing,
        })
    }
}

/// The programs, running; they stop when this is dropped.
pub(super) struct Programs {
    ebpf: Ebpf,
    links: Links,
    transitions: Transitions,
    events_see_all: bool,
    /// Whether it does where it is attached.
    events_at_root: bool,
    /// Where something is pinned.
    pinned: Option<Pinned>,
    /// Where something is pinned.
    names: Option<pinned::Names>,
    walk: Walk,
    adopt: Iterator,
    arm: Option<Iterator>,
    settle: Iterator,
    reclassify: Iterator,
    local_initiators: Iterator,
    holders: Iterator,
    connections: Iterator,
    counters: Mapped<Counters>,
    control: Mapped<Control>,
    histograms: Mapped<Histogram>,
    strangers: RingBuf<MapData>,
    records: RingBuf<MapData>,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    missing: Missing,
}

impl Programs {
    /// Those that are attached now.
    pub(super) fn attached(&self) -> Vec<&'static str> {
        self.links.held.iter().map(|it| it.program).collect()
    }

    /// Whether they outlive the agent.
    pub(super) fn are_pinned(&self) -> bool {
        self.names.is_some()
    }

    /// Brings all counters up to date.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.settle.run()?;
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        Ok(())
    }

    /// Every process and each MPC connection that it holds, as [`agent_ebpf::SocketOwner`]s one after the other.
    pub(super) fn holders(&self) -> io::Result<Vec<u8>> {
        self.holders.run()
    }

    /// The next connection that has ended, as the bytes of a [`agent_ebpf::Record`].
    pub(super) fn next_record(&mut self) -> Option<Vec<u8>> {
        self.records.next().map(|item| item.to_vec())
    }

    /// Every open connection that a process holds, as [`agent_ebpf::Record`]s one after the other; what several files
    /// are, several times.
    pub(super) fn connections(&self) -> io::Result<Vec<u8>> {
        self.connections.run()
    }

    /// The next stranger that came, as the bytes of a [`agent_ebpf::UnexpectedPeer`].
    pub(super) fn next_stranger(&mut self) -> Option<Vec<u8>> {
        self.strangers.next().map(|item| item.to_vec())
    }

    /// What was wanted and goes without.
    pub(super) fn missing(&self) -> &Missing {
        &self.missing
    }

    /// For the label `bytes`: what gives a connection its account, and what finds it again.
    pub(super) fn accounting(&self) -> &'static str {
        match (self.events_see_all, self.walk) {
            (true, Walk::Accounts) => "sock_ops+sk_storage",
            (true, Walk::Files) => "sock_ops+task_file",
            (false, Walk::Accounts) => "inet_sock_set_state+sk_storage",
            (false, Walk::Files) => "inet_sock_set_state+task_file",
        }
    }

    /// The processes that are watched.
    pub(super) fn watched(&self) -> Result<BTreeSet<u32>, MapError> {
        let map = self.ebpf.map(map::PROCESSES);
        let map = map.ok_or(MapError::InvalidName {
            name: map::PROCESSES.to_owned(),
        })?;
        HashMap::<_, u32, u32>::try_from(map)?.keys().collect()
    }

    /// Watches these processes from now on and those no more.
    pub(super) fn watch(&mut self, come: &[u32], gone: &[u32]) -> Result<(), MapError> {
        let map = self.ebpf.map_mut(map::PROCESSES);
        let map = map.ok_or(MapError::InvalidName {
            name: map::PROCESSES.to_owned(),
        })?;
        let mut processes: HashMap<_, u32, u32> = HashMap::try_from(map)?;
        // Where one is not there any more, so be it.
        for process in gone {
            drop(processes.remove(process));
        }
        come.iter()
            .try_for_each(|process| processes.insert(process, 1, 0))
    }

    /// Notes what is published of a slot, for the next agent.
    pub(super) fn note_shown(&self, slot: u32, shown: Shown) {
        self.counters.set(slot, offset_of!(Counters, shown), shown);
    }

    /// A slot's counters now.
    pub(super) fn counters(&self, slot: u32) -> Option<Counters> {
        self.counters.read(slot)
    }

    /// Maps as many histograms as there are: a page of the kernel's that is mapped counts as this process's memory, and
    /// all of them can be 10 MiB.
    pub(super) fn map_histograms(&mut self, control: &Control) -> Result<(), Error> {
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

    /// A histogram now.
    pub(super) fn histogram(&self, number: u32) -> Option<Histogram> {
        self.histograms.read(number)
    }

    /// The shared state now.
    pub(super) fn control(&self) -> Option<Control> {
        self.control.read(0)
    }

    /// Every automatic party: its address and its block.
    pub(super) fn auto_parties(&self) -> Result<Vec<(Address, u32)>, MapError> {
        let map = self.ebpf.map(map::AUTO_PARTIES);
        let map = map.ok_or(MapError::InvalidName {
            name: map::AUTO_PARTIES.to_owned(),
        })?;
        HashMap::<_, Address, u32>::try_from(map)?.iter().collect()
    }

    /// What the kernel counts about each program.
    pub(super) fn statistics(&self) -> Vec<(&'static str, ProgramStatistics)> {
        let of = |name| {
            let fd = self.ebpf.program(name)?.fd().ok()?;
            Some((name, program_statistics(fd.as_fd()).ok()?))
        };
        program::ALL.into_iter().filter_map(of).collect()
    }
}

fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
    for name in [
        program::ADOPT,
        program::LOCAL_INITIATORS,
        program::SOCKET_OWNERS,
        program::CONNECTIONS,
    ] {
        typed::<Iter>(ebpf, name)?.load("task_file", btf)?;
    }
    Ok(())
}

/// What aya looks these hooks up in. What was needed for the ones before goes back to the system first.
fn only(hooks: &Hooks, wanted: &[Hook]) -> Result<Btf, Error> {
    release_memory();
    let wrong = |error: &dyn std::error::Error| Error::Btf(error.to_string());
    let raw = hooks.only(wanted).map_err(|error| wrong(&error))?;
    Btf::parse(&raw, Endianness::default()).map_err(|error| wrong(&error))
}
