//! Loads the BPF object, fills its tables, attaches its programs, and reads its maps. The only file that
//! touches aya.

use std::{
    collections::BTreeSet,
    io,
    mem::offset_of,
    os::fd::{AsFd as _, BorrowedFd},
};

use agent_ebpf::{Address, Control, Counters, Endpoint, Offsets, map, program, protocol};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
    programs::{BtfTracePoint, Iter, Program, ProgramError},
};

use super::{
    sys::{Iterator, Mapped, ProgramStatistics, program_statistics},
    tables::Tables,
};

/// The object that `build.rs` built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/partymeter-bpf"));

/// The level of the kernel side's messages, as aya-log-ebpf reads it; 0 is off.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

const TRACEPOINTS: [&str; 2] = [program::SET_STATE, program::SET_STATE_AGAIN];

/// Why the programs are not running.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The kernel has no BTF, or none that the programs can be fitted to.
    #[error("{0}")]
    Btf(String),
    /// The kernel refused: no privilege.
    #[error("the kernel refused to {0}: no permission")]
    Permission(&'static str),
    /// Anything else.
    #[error("cannot {0}: {1}")]
    Kernel(&'static str, String),
}

/// The programs, accepted by the kernel and not yet attached to anything.
pub(super) struct Loaded {
    ebpf: Ebpf,
    slots: u32,
    log: bool,
}

impl Loaded {
    /// Fits the programs to the running kernel and to `slots` slots, and has the verifier look at them.
    pub(super) fn new(
        offsets: Offsets,
        slots: u32,
        log: Option<tracing::Level>,
    ) -> Result<Self, Error> {
        let btf = Btf::from_sys_fs().map_err(|error| Error::Btf(error.to_string()))?;
        let level = log.map_or(0, log_level);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global(agent_ebpf::OFFSETS, &offsets, true)
            .override_global(LOG_LEVEL, &level, true)
            .map_max_entries(map::COUNTERS, slots)
            .load(OBJECT)
            .map_err(|error| kernel_error("create the BPF maps", &error))?;
        load(&mut ebpf, &btf).map_err(|error| program_error("load the BPF programs", &error))?;
        Ok(Self {
            ebpf,
            slots,
            log: log.is_some(),
        })
    }

    /// Attaches everything, in an order that leaves no gap: the tables are full before the first socket is
    /// looked at, and what is older than that is adopted last, by the caller.
    pub(super) fn attach(self, tables: &Tables) -> Result<Programs, Error> {
        let Self {
            mut ebpf,
            slots,
            log,
        } = self;
        fill(&mut ebpf, tables)?;
        let settle = iterator(&ebpf, program::SETTLE, Some(map_fd(&ebpf, map::SOCKETS)?))?;
        let reclassify = iterator(
            &ebpf,
            program::RECLASSIFY,
            Some(map_fd(&ebpf, map::SOCKETS)?),
        )?;
        let adopt = iterator(&ebpf, program::ADOPT, None)?;
        let mapped = |error: io::Error| kernel_error("map the counters into memory", &error);
        let counters = Mapped::new(map_fd(&ebpf, map::COUNTERS)?, slots).map_err(mapped)?;
        let control = Mapped::writable(map_fd(&ebpf, map::CONTROL)?, 1).map_err(mapped)?;
        let logger = if log {
            let logger = aya_log::EbpfLogger::init(&mut ebpf);
            Some(logger.map_err(|error| kernel_error("read the BPF side's messages", &error))?)
        } else {
            None
        };
        for name in TRACEPOINTS {
            typed::<BtfTracePoint>(&mut ebpf, name)
                .and_then(BtfTracePoint::attach)
                .map_err(|error| program_error("attach to the tracepoint", &error))?;
        }
        Ok(Programs {
            ebpf,
            adopt,
            settle,
            reclassify,
            counters,
            control,
            logger,
        })
    }
}

/// The programs, running; they stop when this is dropped.
pub(super) struct Programs {
    ebpf: Ebpf,
    adopt: Iterator,
    settle: Iterator,
    reclassify: Iterator,
    counters: Mapped<Counters>,
    control: Mapped<Control>,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
}

impl Programs {
    /// Changes the tables from `old` to `new`; may be done again where it failed. Connections that begin meanwhile
    /// may be looked up in a mixture of both.
    pub(super) fn change(&mut self, old: &Tables, new: &Tables) -> Result<(), Error> {
        // Looking for endpoints begins before there are any, and ends once there are none.
        self.control.store(
            offset_of!(Control, endpoints),
            u32::from(old.exact || new.exact),
        );
        remove_stale(&mut self.ebpf, old, new)?;
        fill_ports(&mut self.ebpf, new)?;
        fill_parties(&mut self.ebpf, new)?;
        self.control
            .store(offset_of!(Control, auto_limit), new.auto_limit);
        self.control
            .store(offset_of!(Control, endpoints), u32::from(new.exact));
        Ok(())
    }

    /// Moves accounts to the slots that are theirs by the tables as they are, and takes those away that are nobody's.
    pub(super) fn reclassify(&self) -> io::Result<()> {
        self.reclassify.run()
    }

    /// Gives accounts to connections that have none and should.
    pub(super) fn adopt(&self) -> io::Result<()> {
        self.adopt.run()
    }

    /// Brings all counters up to date.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.settle.run()?;
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        Ok(())
    }

    /// A slot's counters now.
    pub(super) fn counters(&self, slot: u32) -> Option<Counters> {
        self.counters.read(slot)
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
    typed::<Iter>(ebpf, program::ADOPT)?.load("task_file", btf)?;
    for name in [program::SETTLE, program::RECLASSIFY] {
        typed::<Iter>(ebpf, name)?.load("bpf_sk_storage_map", btf)?;
    }
    for name in TRACEPOINTS {
        typed::<BtfTracePoint>(ebpf, name)?.load("inet_sock_set_state", btf)?;
    }
    Ok(())
}

fn typed<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    // The object is embedded: a name that is not there is the same mistake as one of another type.
    ebpf.program_mut(name)
        .ok_or(ProgramError::UnexpectedProgramType)?
        .try_into()
}

fn iterator(
    ebpf: &Ebpf,
    name: &'static str,
    map: Option<BorrowedFd<'_>>,
) -> Result<Iterator, Error> {
    const ACTION: &str = "attach the BPF iterators";
    let program = ebpf
        .program(name)
        .ok_or(ProgramError::UnexpectedProgramType);
    let fd = program
        .and_then(Program::fd)
        .map_err(|error| program_error(ACTION, &error))?;
    Iterator::attach(fd.as_fd(), map).map_err(|error| kernel_error(ACTION, &error))
}

fn fill(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), Error> {
    fill_ports(ebpf, tables)?;
    let write = |error: MapError| kernel_error("write the settings", &error);
    let control = Control {
        stride: tables.stride,
        auto_limit: tables.auto_limit,
        auto_parties: tables.first_auto,
        endpoints: u32::from(tables.exact),
        ..Control::default()
    };
    let mut place: Array<_, Control> =
        Array::try_from(map_mut(ebpf, map::CONTROL)?).map_err(write)?;
    place.set(0, control, 0).map_err(write)?;
    fill_parties(ebpf, tables)
}

fn fill_ports(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), Error> {
    let write = |error: MapError| kernel_error(PORT_TABLE, &error);
    let mut ports: Array<_, u32> = Array::try_from(map_mut(ebpf, map::PORTS)?).map_err(write)?;
    for (port, protocol) in &tables.ports {
        ports.set(u32::from(*port), protocol, 0).map_err(write)?;
    }
    Ok(())
}

/// Takes out what is in `old` and not in `new`.
fn remove_stale(ebpf: &mut Ebpf, old: &Tables, new: &Tables) -> Result<(), Error> {
    let write = |error: MapError| kernel_error(PORT_TABLE, &error);
    let mut ports: Array<_, u32> = Array::try_from(map_mut(ebpf, map::PORTS)?).map_err(write)?;
    for port in stale(&old.ports, &new.ports) {
        ports
            .set(u32::from(port), protocol::OTHER, 0)
            .map_err(write)?;
    }
    let mut prefixes: LpmTrie<_, Address, u32> =
        LpmTrie::try_from(map_mut(ebpf, map::PREFIXES)?).map_err(party_error)?;
    for (address, bits) in stale(&old.prefixes, &new.prefixes) {
        gone(prefixes.remove(&Key::new(bits, address)))?;
    }
    let mut endpoints: HashMap<_, Endpoint, u32> =
        HashMap::try_from(map_mut(ebpf, map::ENDPOINTS)?).map_err(party_error)?;
    for endpoint in stale(&old.endpoints, &new.endpoints) {
        gone(endpoints.remove(&endpoint))?;
    }
    Ok(())
}

/// The keys of `old` that `new` has not.
fn stale<K: Ord + Copy>(old: &[(K, u32)], new: &[(K, u32)]) -> Vec<K> {
    let kept: BTreeSet<K> = new.iter().map(|(key, _)| *key).collect();
    let keys = old.iter().map(|(key, _)| *key);
    keys.filter(|key| !kept.contains(key)).collect()
}

/// One key may be in a list twice, and a change be made again: what is not there need not be taken out.
fn gone(removed: Result<(), MapError>) -> Result<(), Error> {
    match removed {
        Err(error) if cause(&error).is_some_and(|it| it.kind() == io::ErrorKind::NotFound) => {
            Ok(())
        }
        result => result.map_err(party_error),
    }
}

const PORT_TABLE: &str = "write the port table";

#[expect(clippy::needless_pass_by_value, reason = "as map_err calls it")]
fn party_error(error: MapError) -> Error {
    kernel_error("write the party table", &error)
}

fn fill_parties(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), Error> {
    let mut prefixes: LpmTrie<_, Address, u32> =
        LpmTrie::try_from(map_mut(ebpf, map::PREFIXES)?).map_err(party_error)?;
    for ((address, bits), party) in &tables.prefixes {
        prefixes
            .insert(&Key::new(*bits, *address), party, 0)
            .map_err(party_error)?;
    }
    let mut endpoints: HashMap<_, Endpoint, u32> =
        HashMap::try_from(map_mut(ebpf, map::ENDPOINTS)?).map_err(party_error)?;
    for (endpoint, party) in &tables.endpoints {
        endpoints.insert(endpoint, party, 0).map_err(party_error)?;
    }
    Ok(())
}

fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, Error> {
    ebpf.map_mut(name)
        .ok_or_else(|| Error::Kernel("find a BPF map", name.to_owned()))
}

fn map_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, Error> {
    let data: Option<&MapData> = match ebpf.map(name) {
        Some(Map::Array(data) | Map::SkStorage(data)) => Some(data),
        _ => None,
    };
    data.map(|data| data.fd().as_fd())
        .ok_or_else(|| Error::Kernel("find a BPF map", name.to_owned()))
}

fn log_level(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 1,
        tracing::Level::WARN => 2,
        tracing::Level::INFO => 3,
        tracing::Level::DEBUG => 4,
        tracing::Level::TRACE => 5,
    }
}

/// The operating system's error at the bottom of a chain, if there is one.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        at = error.source();
    }
    None
}

/// EPERM only: the verifier says EACCES when it does not like a program.
fn is_denied(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

fn kernel_error(action: &'static str, error: &(dyn std::error::Error + 'static)) -> Error {
    if cause(error).is_some_and(is_denied) {
        return Error::Permission(action);
    }
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(error) = at {
        text = format!("{text}: {error}");
        at = error.source();
    }
    Error::Kernel(action, text)
}

/// As [`kernel_error`]; of the verifier's log only the end is of use in one line.
fn program_error(action: &'static str, error: &ProgramError) -> Error {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            if is_denied(io_error) {
                return Error::Permission(action);
            }
            let log = verifier_log.to_string();
            tracing::debug!(target: "partymeter::verifier", "{log}");
            // The log ends with the instruction and what is wrong with it, then figures.
            let figures = ["processed", "verification time", "stack depth"];
            let end: Vec<&str> = log
                .lines()
                .filter(|line| !line.is_empty() && !figures.iter().any(|f| line.starts_with(f)))
                .rev()
                .take(1)
                .collect();
            Error::Kernel(action, format!("{io_error}: {}", end.join(" | ")))
        }
        _ => kernel_error(action, error),
    }
}
