//! One GPU: a source with a thread of its own. It asks only for what the device has, leaves out for a while what
//! fails, and lets go of a device that is lost.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    counters::Wraps,
    open::Open,
    own::{Own, State, lock},
    plausible::{self, Known},
    raw::{At, Code, Driver, Trouble},
    shared::Shared,
};
use crate::{
    sample::{
        FailureKind,
        gpu::{Facts, Reading},
    },
    source::{Failure, Source, backoff},
};

/// More GPUs than that no machine has, whatever a library says.
pub(super) const MOST: u32 = 256;

/// Where the open device of a GPU lies. Locked during a round, so that whoever gets the lock may take it away.
#[derive(Default)]
pub(super) struct Held(Mutex<Option<Open>>);

impl Held {
    /// Closes the device, unless a call of its round takes longer than that.
    pub(super) fn close(&self, until: Instant) {
        loop {
            if let Ok(mut open) = self.0.try_lock() {
                *open = None;
                return;
            }
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads one GPU.
pub(super) struct GpuSource {
    index: u32,
    shared: Arc<Shared>,
    own: Arc<Own>,
    held: Arc<Held>,
    /// Known once it was open: by it the same GPU is found again when indices have moved.
    bus_id: Option<Arc<str>>,
    /// Kept while the device is closed and opened: its counters go on.
    wraps: Wraps,
    /// What failed last, and not to try again before: but for another start of the library.
    waits: Option<(Failure, Instant, u64)>,
    failures: u32,
    /// What NVML says nonsense of, and the log says so.
    implausible: Known,
}

impl GpuSource {
    /// Of the GPU with this index.
    pub(super) fn new(index: u32, shared: Arc<Shared>, own: Arc<Own>, held: Arc<Held>) -> Self {
        Self {
            index,
            shared,
            own,
            held,
            bus_id: None,
            wraps: Wraps::default(),
            waits: None,
            failures: 0,
            implausible: Known::new(),
        }
    }

    /// Opens the GPU: the one that was open before, else the one at the index, else one that nobody has.
    fn open(&mut self, driver: &dyn Driver, generation: u64) -> Result<Open, Trouble> {
        if let Some(id) = &self.bus_id {
            return Open::new(driver, generation, &At::BusId(Arc::clone(id)), &self.shared);
        }
        let others = (0..driver.count()?.min(MOST)).filter(|index| *index != self.index);
        let mut last = None;
        for index in std::iter::once(self.index).chain(others) {
            match Open::new(driver, generation, &At::Index(index), &self.shared) {
                Ok(open) => {
                    let id: Arc<str> = open.facts.pci_bus_id.as_str().into();
                    if self.shared.claim(&id) {
                        self.bus_id = Some(id);
                        return Ok(open);
                    }
                }
                Err(error) if index == self.index => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(NOT_THERE))
    }

    /// Reads the device, and opens it before if it is not open, or open in a library that has been started anew.
    fn round(
        &mut self,
        place: &mut Option<Open>,
        driver: &dyn Driver,
        generation: u64,
    ) -> Result<Reading, Trouble> {
        if place
            .as_ref()
            .is_none_or(|open| open.generation != generation)
        {
            // First the old one goes: it keeps its library from ending.
            *place = None;
            let opened = self.open(driver, generation);
            let opened = opened.inspect_err(|error| self.shared.count(*error))?;
            self.own.identify(Arc::clone(&opened.facts));
            self.shared
                .name(generation, opened.board.handle(), &self.own);
            *place = Some(opened);
        }
        let Some(open) = place else {
            return Err(NOT_THERE);
        };
        let outcome = open.round(&self.own, &self.shared, &mut self.wraps);
        if outcome.is_err() {
            // What killed it may have come after the look with which the round began, and goes with the device.
            open.drain(&self.own, &self.shared);
            *place = None;
        }
        outcome.map(|reading| self.plausible(reading))
    }

    /// Takes out of a reading what cannot be; says so when that begins and when it ends.
    fn plausible(&mut self, mut reading: Reading) -> Reading {
        let found = plausible::check(&mut reading, &|metric| self.shared.range(metric));
        for it in &found {
            let (call, code) = (it.call, Code::IMPLAUSIBLE);
            self.shared.count(Trouble { call, code });
            if self.implausible.insert(it.metric) {
                let (index, call, metric, value) = (self.index, it.call, it.metric, it.value);
                warn!(
                    gpu_id = index,
                    "{metric} of GPU {index} is left out: {call} says {value}, which cannot be"
                );
            }
        }
        let index = self.index;
        self.implausible.retain(|metric| {
            let still = found.iter().any(|it| it.metric == *metric);
            if !still {
                info!(gpu_id = index, "{metric} of GPU {index} is back");
            }
            still
        });
        reading
    }
}

/// None of the library's GPUs is free.
const NOT_THERE: Trouble = Trouble {
    call: "nvmlDeviceGetHandleByIndex_v2",
    code: Code::NOT_FOUND,
};

impl Source for GpuSource {
    type Sample = Reading;

    fn name(&self) -> Arc<str> {
        format!("gpu{}", self.index).into()
    }

    fn about(&self) -> Option<Arc<str>> {
        let facts = self.own.facts()?;
        let Facts {
            model,
            uuid,
            pci_bus_id,
            ..
        } = &*facts;
        Some(format!("{model}, {uuid}, {pci_bus_id}").into())
    }

    /// At the interval always: a round that only waits asks nothing of the device.
    fn pause(&self, interval: Duration, _failures: u32) -> Duration {
        interval
    }

    fn collect(&mut self) -> Result<Reading, Failure> {
        let held = Arc::clone(&self.held);
        // Locked before the library is asked for: whoever takes the library away waits for this lock, and finds no
        // device opened in it afterwards.
        let mut place = lock(&held.0);
        let (driver, generation) = self.shared.driver().map_err(Failure::elsewhere)?;
        if let Some((failure, until, before)) = &self.waits
            && generation == *before
            && Instant::now() < *until
        {
            return Err(failure.clone());
        }
        match self.round(&mut place, &*driver, generation) {
            Ok(reading) => {
                self.own.set(State::Up);
                (self.waits, self.failures) = (None, 0);
                Ok(reading)
            }
            Err(error) => {
                let lost = error.code.is_fatal() || error.code == Code::NOT_FOUND;
                self.failures += 1;
                let (state, kind) = if lost {
                    (State::Lost, FailureKind::Lost)
                } else {
                    (State::Failed, FailureKind::Read)
                };
                self.own.set(state);
                let failure = Failure::new(kind, error.to_string());
                let until = Instant::now() + backoff(self.shared.interval, self.failures);
                self.waits = Some((failure.clone(), until, generation));
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests;
