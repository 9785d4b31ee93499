//! The network source: bytes by party and protocol, counted by the kernel and attributed by our programs.
//!
//! `wanted` is what to count. `layout` gives parties and protocols their numbers, `tables` turns the configuration
//! into the kernel's tables, `resolve` its host names into addresses, `btf` finds the kernel's fields, `loader` runs
//! the programs, `decode` names what they counted.

pub mod btf;
mod decode;
pub mod layout;
mod loader;
pub mod resolve;
mod sys;
pub mod tables;
pub mod wanted;

use std::sync::Arc;

use agent_ebpf::{Control, Drop, ENDPOINT_CAPACITY, PREFIX_CAPACITY, program};
use tracing::info;

use self::{
    decode::Published,
    loader::{Error, Loaded, Programs},
    sys::ProgramStatistics,
    tables::{Names, Tables},
    wanted::{Plan, Wanted},
};
use super::{Failure, Source};
use crate::{
    privilege,
    sample::{Accounting, FailureKind, MapFill, Network, ProgramRuns},
};

/// Reads what the kernel has counted.
pub struct NetworkSource {
    wanted: Arc<Wanted>,
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
    accounting: Accounting,
}

impl NetworkSource {
    /// A source that has touched nothing yet.
    pub fn new(wanted: &Arc<Wanted>) -> Self {
        Self {
            wanted: Arc::clone(wanted),
            running: None,
        }
    }

    /// Loads, attaches, adopts; then gives up the privileges that only this needs.
    ///
    /// # Errors
    /// The first thing that this machine or these privileges do not allow.
    fn start(&self) -> Result<Running, Failure> {
        let plan = self.wanted.get();
        let tables = Tables::new(&plan.config, &plan.resolved, &plan.layout);
        let loaded = load(tables.slots, plan.config.log.kernel);
        sys::release_memory();
        let programs = loaded?.attach(&tables).map_err(|error| explain(&error))?;
        programs
            .adopt()
            .map_err(|error| read_failure("adopt open connections", &error))?;
        privilege::keep_for_reading();

        let kernel = sysinfo::System::kernel_version().unwrap_or_default();
        info!(%kernel, "counting: claimed at inet_sock_set_state, settled from tcp_sock");
        Ok(Running {
            programs,
            tables,
            names: Names::new(&plan.config, &plan.layout),
            plan,
            look_again: false,
            published: Published::default(),
            auto_parties: 0,
            settled: 0,
            accounting: Accounting {
                bytes: "inet_sock_set_state+sk_storage",
                kernel,
            },
        })
    }
}

/// Has the kernel accept the programs, without attaching them.
fn load(slots: u32, log: Option<tracing::Level>) -> Result<Loaded, Failure> {
    let raw = std::fs::read(btf::KERNEL).map_err(|error| {
        let mend = "this kernel was built without CONFIG_DEBUG_INFO_BTF, or sysfs is not mounted";
        let reason = format!("no kernel BTF ({}: {error}): {mend}", btf::KERNEL);
        Failure::new(FailureKind::Unsupported, reason)
    })?;
    let offsets = btf::offsets(&raw)
        .map_err(|error| Failure::new(FailureKind::Unsupported, error.to_string()))?;
    Loaded::new(offsets, slots, log).map_err(|error| explain(&error))
}

/// What the network source would meet here, part by part; attaches and keeps nothing.
pub fn probe() -> Vec<Finding> {
    let programs = load(1, None).map(|_| "the verifier accepts them".to_owned());
    let privileges = match privilege::missing() {
        missing if missing.is_empty() => Ok("enough to attach".to_owned()),
        missing => {
            let reason = format!("missing {}; run as root", missing.join(", "));
            Err(Failure::new(FailureKind::Permission, reason))
        }
    };
    [("privileges", privileges), ("BPF programs", programs)]
        .map(|(what, result)| Finding {
            what,
            result: result.map_err(|failure| failure.reason),
        })
        .into()
}

/// One thing that was looked at: what was found, or what is wrong with it.
#[derive(Debug)]
pub struct Finding {
    /// The thing.
    pub what: &'static str,
    /// In one line for a person.
    pub result: Result<String, String>,
}

impl Source for NetworkSource {
    type Sample = Network;

    fn name(&self) -> Arc<str> {
        "network".into()
    }

    fn collect(&mut self) -> Result<Network, Failure> {
        let running = match &mut self.running {
            Some(running) => running,
            None => self.running.insert(self.start()?),
        };
        running.follow(self.wanted.get())?;
        running.read()
    }
}

impl Running {
    /// Counts by the plan from now on, open connections too. What fails is done again in the next round.
    fn follow(&mut self, plan: Arc<Plan>) -> Result<(), Failure> {
        let next = (!Arc::ptr_eq(&plan, &self.plan))
            .then(|| Tables::new(&plan.config, &plan.resolved, &plan.layout));
        if let Some(next) = &next {
            self.programs
                .change(&self.tables, next)
                .map_err(|error| explain(&error))?;
        }
        if next.is_some() || self.look_again {
            self.programs
                .reclassify()
                .map_err(|error| read_failure("look at open connections again", &error))?;
            self.programs
                .adopt()
                .map_err(|error| read_failure("adopt open connections", &error))?;
            self.look_again = next.is_some();
        }
        if let Some(next) = next {
            self.names.take_in(&plan.config, &plan.layout);
            self.tables = next;
            self.plan = plan;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Network, Failure> {
        self.programs
            .settle()
            .map_err(|error| read_failure("settle", &error))?;
        let control = self.programs.control().unwrap_or_default();
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
        let open = control.settled - std::mem::replace(&mut self.settled, control.settled);
        let statistics = self.programs.statistics();
        Ok(Network {
            traffic: self
                .published
                .next(&self.names, |slot| self.programs.counters(slot)),
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
            accounting: self.accounting.clone(),
        })
    }
}

/// What the programs count themselves; and the most changes of state that can have gone unseen, because both
/// programs that watch for them were interrupted by themselves.
fn dropped(
    control: &Control,
    statistics: &[(&'static str, ProgramStatistics)],
) -> Vec<(&'static str, u64)> {
    let misses = statistics
        .iter()
        .filter(|(name, _)| [program::SET_STATE, program::SET_STATE_AGAIN].contains(name))
        .map(|(_, statistics)| statistics.misses)
        .min();
    Drop::ALL
        .map(|drop| (drop.name(), control.dropped[drop as usize]))
        .into_iter()
        .chain([("recursion", misses.unwrap_or(0))])
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

/// What a person can do about it.
fn explain(error: &Error) -> Failure {
    explain_on(kernel_version(), error)
}

fn explain_on((major, minor): (u32, u32), error: &Error) -> Failure {
    if (major, minor) < FLOOR {
        let (floor_major, floor_minor) = FLOOR;
        return Failure::new(
            FailureKind::Unsupported,
            format!(
                "Linux {major}.{minor} is too old, {floor_major}.{floor_minor} is needed ({error})"
            ),
        );
    }
    let kind = match error {
        Error::Btf(_) | Error::Kernel(..) => FailureKind::Unsupported,
        Error::Permission(_) => FailureKind::Permission,
    };
    let mend = match error {
        Error::Permission(_) => match privilege::missing() {
            missing if missing.is_empty() => {
                "; a security module or lockdown forbids it".to_owned()
            }
            missing => format!("; run as root or with {}", missing.join(", ")),
        },
        Error::Btf(_) | Error::Kernel(..) => String::new(),
    };
    Failure::new(kind, format!("{error}{mend}"))
}

/// Compare-and-swap in BPF, Linux 5.12. Older ones with it backported are not asked for their number: this is
/// looked at only once the kernel has refused.
const FLOOR: (u32, u32) = (5, 12);

fn kernel_version() -> (u32, u32) {
    let text = sysinfo::System::kernel_version().unwrap_or_default();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named_before_what_it_said() {
        let refused = Error::Kernel("load the BPF programs", "Invalid argument".to_owned());
        let old = explain_on((5, 10), &refused);
        assert_eq!(old.kind, FailureKind::Unsupported);
        assert_eq!(
            old.reason,
            "Linux 5.10 is too old, 5.12 is needed (cannot load the BPF programs: Invalid argument)"
        );
        let new = explain_on((6, 1), &refused);
        assert_eq!(new.reason, "cannot load the BPF programs: Invalid argument");
    }

    #[test]
    fn a_missing_permission_comes_with_its_mend() {
        let denied = explain_on((6, 1), &Error::Permission("create the BPF maps"));
        assert_eq!(denied.kind, FailureKind::Permission);
        let start = "the kernel refused to create the BPF maps: no permission; ";
        assert!(denied.reason.starts_with(start), "{}", denied.reason);
        assert!(denied.reason.len() > start.len());
    }
}
