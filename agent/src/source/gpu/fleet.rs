//! All GPUs of the machine: loads the library, starts a thread for each GPU, and starts the library anew when some
//! are lost and nothing else can bring them back.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    decode,
    device::{GpuSource, Held, MOST},
    library,
    open::PROBE,
    own::{Own, State, lock},
    raw::{At, Code, ConfCompute, Driver, Trouble},
    shared::Shared,
};
use crate::{
    config::Gpu as Config,
    finding::{Finding, at_least},
    sample::{
        FailureKind, SourceHealth,
        gpu::{Gpu, Gpus, Range, Reading, System},
    },
    source::{Failure, Place, Source, clock::Moment, deadline, start},
};

/// For how long handles are given up on request.
const RELEASE: Duration = Duration::from_mins(1);

/// How long to wait before the library is started anew for some GPUs, while others work and have to be closed for
/// it: at first, and at most. The wait doubles each time.
const RENEW_FOR_SOME: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// The same when all are lost, and nobody is disturbed.
const RENEW_FOR_ALL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How long closing waits for rounds under way.
const CLOSING: Duration = Duration::from_secs(1);

/// Where the driver lists its GPUs. NVML's own count is made once, when it is started.
const LISTED: &str = "/proc/driver/nvidia/gpus";

/// The places of all GPUs, for the sampler.
pub struct GpuPlaces {
    system: Arc<Place<System>>,
    roster: Arc<Roster>,
    dcgm_names: bool,
}

impl GpuPlaces {
    /// Everything known now; the health of each source is added to `sources`.
    pub fn look(&self, now: &Moment, sources: &mut Vec<SourceHealth>) -> Gpus {
        let (system, health) = self.system.look(now);
        sources.push(health);
        let members = lock(&self.roster.members);
        let gpus = members.iter().map(|member| {
            let (reading, health) = member.place.look(now);
            let (id, own) = (Arc::clone(&member.id), &member.own);
            let gpu = Gpu::new(id, own.facts(), reading, &health, own.xids());
            sources.push(health);
            gpu
        });
        Gpus {
            gpus: gpus.collect(),
            system,
            errors: self.roster.shared.errors(),
            dcgm_names: self.dcgm_names,
        }
    }

    /// Gives all handles up for a minute, so that the driver can be unloaded. Returns once they are closed, or after
    /// a second if some GPU does not answer. Returns for how long.
    pub fn release(&self) -> Duration {
        info!(
            "giving the GPUs up for {} s, so that the driver can be unloaded",
            RELEASE.as_secs()
        );
        self.roster.shared.release(Instant::now() + RELEASE);
        self.roster.close_all();
        RELEASE
    }
}

/// Every GPU that was ever seen.
struct Roster {
    shared: Arc<Shared>,
    members: Mutex<Vec<Member>>,
}

struct Member {
    id: Arc<str>,
    place: Arc<Place<Reading>>,
    own: Arc<Own>,
    held: Arc<Held>,
}

impl Roster {
    /// Takes the library away from all GPUs.
    fn close(&self, failure: Failure) {
        self.shared.close(failure);
        self.close_all();
    }

    fn close_all(&self) {
        let held: Vec<_> = lock(&self.members)
            .iter()
            .map(|member| Arc::clone(&member.held))
            .collect();
        let until = Instant::now() + CLOSING;
        for held in held {
            held.close(until);
        }
    }
}

/// Starts the threads. The first round of every GPU is over when this returns, or the deadline is. `range` gives the
/// values that a metric can have: what is read beyond them is left out.
///
/// # Errors
/// When the operating system has no thread left.
pub fn spawn(
    config: &Config,
    interval: Duration,
    range: fn(&str) -> Option<Range>,
) -> io::Result<GpuPlaces> {
    let shared = Arc::new(Shared::new(interval, config.processes, range));
    let roster = Arc::new(Roster {
        shared,
        members: Mutex::default(),
    });
    let fleet = Fleet {
        library: config.library.clone(),
        interval,
        roster: Arc::clone(&roster),
        listed: 0,
        waits_since: None,
        conf_compute_next: None,
        renewals: 0,
        loaded: None,
    };
    let system = crate::source::spawn(fleet, interval)?;
    Ok(GpuPlaces {
        system,
        roster,
        dcgm_names: config.dcgm_names,
    })
}

/// What a look at the library says, for `partymeter check`.
pub fn probe(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "GPUs";
    let driver = match library::load(&config.library) {
        Ok(driver) => driver,
        // A machine without GPUs is nothing to see to, unless somebody names a file of a driver.
        Err(failure) if failure.kind == FailureKind::Absent => {
            return vec![if config.library.contains('/') {
                Finding::optional(WHAT, Err(failure.reason))
            } else {
                Finding::required(WHAT, Ok(format!("none: {}", failure.reason)))
            }];
        }
        Err(failure) => {
            let line = at_least(failure.reason, SEE);
            return vec![Finding::required(WHAT, Err(line))];
        }
    };
    let count = match driver.count() {
        Ok(count) => count,
        Err(error) => return vec![Finding::required(WHAT, Err(not_read("the GPUs", error)))],
    };
    let version = driver.versions().driver.as_deref().unwrap_or("unknown");
    let fake = if driver.versions().fake {
        "; they are made up by a library for tests"
    } else {
        ""
    };
    let all = format!("{count} by NVML, driver {version}{fake}");
    let mut findings = vec![Finding::required(WHAT, Ok(all))];
    for index in 0..count {
        let opened = driver.open(&At::Index(index));
        if let Err(error) = opened.and_then(|mut board| board.identity()) {
            let line = not_read(&format!("GPU {index}"), error);
            findings.push(Finding::required(WHAT, Err(line)));
        }
    }
    findings
}

fn not_read(what: &str, error: Trouble) -> String {
    at_least(format!("{what} cannot be read: {error}"), SEE)
}

/// What says more of a driver that does not work.
const SEE: &str = "see nvidia-smi, and NVRM in the kernel's log";

struct Fleet {
    library: String,
    interval: Duration,
    roster: Arc<Roster>,
    /// GPUs in [`LISTED`] when the library was started.
    listed: usize,
    /// Since when something is lost, or since the library was started anew for it.
    waits_since: Option<Instant>,
    /// When to ask a driver again that has no confidential computing.
    conf_compute_next: Option<Instant>,
    /// How often it was, since something is lost.
    renewals: u32,
    /// The version of the driver that the log says was loaded.
    loaded: Option<String>,
}

impl Source for Fleet {
    type Sample = System;

    fn name(&self) -> Arc<str> {
        "gpu".into()
    }

    fn collect(&mut self) -> Result<System, Failure> {
        let shared = Arc::clone(&self.roster.shared);
        if shared.is_released() {
            return shared.driver().map(|_| System::default());
        }
        self.renew();
        let driver = match shared.driver() {
            Ok((driver, _)) => driver,
            Err(_) => self.load()?,
        };
        let count = driver.count().map_err(|error| {
            shared.count(error);
            let failure = Failure::new(FailureKind::Lost, error.to_string());
            self.roster.close(failure.clone());
            failure
        })?;
        if count > MOST {
            shared.count(Trouble {
                call: "nvmlDeviceGetCount_v2",
                code: Code::IMPLAUSIBLE,
            });
            return Err(Failure::new(
                FailureKind::Read,
                format!("nvmlDeviceGetCount_v2 says {count} GPUs, which cannot be"),
            ));
        }
        self.enrol(count)?;
        let mut failed = false;
        let mut trouble = |error: Trouble| {
            // Most GPUs have no confidential computing; that is no failure.
            if !error.code.is_unsupported() {
                failed = true;
                shared.count(error);
            }
        };
        let mut told = ConfCompute::default();
        if self.conf_compute_next.is_none_or(|at| Instant::now() >= at) {
            told = driver.conf_compute(&mut trouble);
            let none = told == ConfCompute::default() && !failed;
            self.conf_compute_next = none.then(|| Instant::now() + PROBE);
        }
        Ok(decode::system(count, driver.versions(), told))
    }
}

impl Fleet {
    fn load(&mut self) -> Result<Arc<dyn Driver>, Failure> {
        let shared = &self.roster.shared;
        let driver =
            library::load(&self.library).inspect_err(|failure| shared.close(failure.clone()))?;
        let version = driver.versions().driver.as_deref().unwrap_or("unknown");
        // One that is started anew for a GPU that is lost is a part of that GPU's outage, which the log knows of.
        let news = self.renewals == 0 || self.loaded.as_deref() != Some(version);
        self.loaded = Some(version.to_owned());
        if news {
            info!("NVML is loaded: driver {version}");
        } else {
            debug!("NVML is loaded again: driver {version}");
        }
        if news && driver.versions().fake {
            warn!(
                "THESE GPUS ARE MADE UP: {} is a library for tests, and no figure of them is real",
                self.library
            );
        }
        self.listed = listed();
        self.conf_compute_next = None;
        shared.put(Arc::clone(&driver));
        Ok(driver)
    }

    /// Starts a thread for each GPU that has none.
    fn enrol(&self, count: u32) -> Result<(), Failure> {
        let known = lock(&self.roster.members).len();
        let mut started = Vec::new();
        for index in u32::try_from(known).unwrap_or(u32::MAX)..count {
            let own = Arc::new(Own::default());
            let held = Arc::new(Held::default());
            let shared = Arc::clone(&self.roster.shared);
            let source = GpuSource::new(index, shared, Arc::clone(&own), Arc::clone(&held));
            let gpu = start(source, self.interval).map_err(|error| {
                Failure::new(
                    FailureKind::Read,
                    format!("cannot start the thread of GPU {index}: {error}"),
                )
            })?;
            started.push((index, own, held, gpu));
        }
        let until = Instant::now() + deadline(self.interval) / 2;
        for (index, own, held, gpu) in started {
            let member = Member {
                id: index.to_string().into(),
                place: gpu.wait(until),
                own,
                held,
            };
            lock(&self.roster.members).push(member);
        }
        Ok(())
    }

    /// Closes the library if some GPU is lost and it is time to start it anew for that, or if the driver lists other
    /// GPUs than at the start.
    fn renew(&mut self) {
        let (lost, up, all) = {
            let members = lock(&self.roster.members);
            let count = |wanted| {
                let states = members.iter().map(|member| member.own.state());
                states.filter(|state| *state == wanted).count()
            };
            (count(State::Lost), count(State::Up), members.len())
        };
        let moved = listed() != self.listed;
        // Calls that fail for some mend themselves. Where no GPU works, a new start disturbs nobody and may help.
        if lost == 0 && !moved && (up > 0 || all == 0) {
            (self.waits_since, self.renewals) = (None, 0);
            return;
        }
        let (first, longest) = if up == 0 {
            RENEW_FOR_ALL
        } else {
            RENEW_FOR_SOME
        };
        let wait = first
            .saturating_mul(1 << self.renewals.min(16))
            .min(longest);
        if self.waits_since.get_or_insert_with(Instant::now).elapsed() >= wait {
            self.waits_since = None;
            self.renewals += 1;
            if moved && self.renewals == 1 {
                info!("the driver has other GPUs than before: starting NVML anew");
            } else {
                debug!("{lost} of {all} GPUs are lost, {up} work: starting NVML anew");
            }
            self.roster
                .close(Failure::new(FailureKind::Absent, "NVML is started anew"));
        }
    }
}

fn listed() -> usize {
    Path::new(LISTED).read_dir().map_or(0, Iterator::count)
}
