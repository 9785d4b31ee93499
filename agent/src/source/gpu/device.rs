//! One GPU: a source with a thread of its own. It asks only for what the device has, leaves out for a while what
//! fails, and lets go of a device that is lost.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    counters::Wraps,
    decode,
    fields::{self, FieldValue},
    process,
    raw::{At, Board, Code, Driver, Pace, Raw, Trouble},
    shared::Shared,
};
use crate::{
    sample::{
        FailureKind,
        gpu::{Facts, Reading, Xid},
    },
    source::{Failure, Source, backoff},
};

/// How often what rarely changes is read.
pub(super) const SLOW: Duration = Duration::from_secs(10);

/// How often a device is asked again for what it did not have: a mode may have been switched.
pub(super) const PROBE: Duration = Duration::from_mins(5);

/// What the source, the fleet and the sampler share about one GPU.
#[derive(Default)]
pub(super) struct Own {
    /// The open device. Locked during a round, so that whoever gets the lock may take it away.
    open: Mutex<Option<Open>>,
    /// Who it is, once it was open.
    facts: Mutex<Option<Arc<Facts>>>,
    /// Since the agent started.
    xids: Mutex<BTreeMap<u64, Xid>>,
    /// Whether only a new start of the library can bring it back.
    lost: AtomicBool,
}

impl Own {
    /// Who it is, once it was open.
    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        lock(&self.facts).clone()
    }

    /// XID errors since the agent started.
    pub(super) fn xids(&self) -> Vec<Xid> {
        lock(&self.xids).values().copied().collect()
    }

    /// Whether only a new start of the library can bring it back.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Closes the device, unless a call of its round takes longer than that.
    pub(super) fn close(&self, until: Instant) {
        loop {
            if let Ok(mut open) = self.open.try_lock() {
                *open = None;
                return;
            }
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn note(&self, xids: &[u64]) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let mut book = lock(&self.xids);
        for xid in xids {
            let entry = book.entry(*xid).or_insert(Xid {
                xid: *xid,
                count: 0,
                last: now,
            });
            entry.count += 1;
            entry.last = now;
        }
    }
}

/// A panic while holding one of these cannot leave it half-written in a way that matters.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one GPU.
pub(super) struct GpuSource {
    index: u32,
    shared: Arc<Shared>,
    own: Arc<Own>,
    /// Known once it was open: by it the same GPU is found again when indices have moved.
    bus_id: Option<Arc<str>>,
    /// Kept while the device is closed and opened: its counters go on.
    wraps: Wraps,
    /// What failed last, and not to try again before: but for another start of the library.
    waits: Option<(Failure, Instant, u64)>,
    failures: u32,
}

impl GpuSource {
    /// Of the GPU with this index.
    pub(super) fn new(index: u32, shared: Arc<Shared>, own: Arc<Own>) -> Self {
        Self {
            index,
            shared,
            own,
            bus_id: None,
            wraps: Wraps::default(),
            waits: None,
            failures: 0,
        }
    }

    /// Opens the GPU: the one that was open before, else the one at the index, else one that nobody has.
    fn open(&mut self, driver: &dyn Driver, generation: u64) -> Result<Open, Trouble> {
        if let Some(id) = &self.bus_id {
            return Open::new(driver, generation, &At::BusId(Arc::clone(id)), &self.shared);
        }
        let others = (0..driver.count()?).filter(|index| *index != self.index);
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
            *lock(&self.own.facts) = Some(Arc::clone(&opened.facts));
            *place = Some(opened);
        }
        let Some(open) = place else {
            return Err(NOT_THERE);
        };
        let outcome = open.round(&self.own, &self.shared, &mut self.wraps);
        if outcome.is_err() {
            *place = None;
        }
        outcome
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

    /// At the interval always: a round that only waits asks nothing of the device.
    fn pause(&self, interval: Duration, _failures: u32) -> Duration {
        interval
    }

    fn collect(&mut self) -> Result<Reading, Failure> {
        let own = Arc::clone(&self.own);
        // Locked before the library is asked for: whoever takes the library away waits for this lock, and finds no
        // device opened in it afterwards.
        let mut place = lock(&own.open);
        let (driver, generation) = self.shared.driver().map_err(Failure::elsewhere)?;
        if let Some((failure, until, before)) = &self.waits
            && generation == *before
            && Instant::now() < *until
        {
            return Err(failure.clone());
        }
        match self.round(&mut place, &*driver, generation) {
            Ok(reading) => {
                self.own.lost.store(false, Ordering::Relaxed);
                (self.waits, self.failures) = (None, 0);
                Ok(reading)
            }
            Err(error) => {
                let lost = error.code.is_fatal() || error.code == Code::NOT_FOUND;
                self.own.lost.store(true, Ordering::Relaxed);
                self.failures += 1;
                let kind = if lost {
                    FailureKind::Lost
                } else {
                    FailureKind::Read
                };
                let failure = Failure::new(kind, error.to_string());
                let until = Instant::now() + backoff(self.shared.interval, self.failures);
                self.waits = Some((failure.clone(), until, generation));
                Err(failure)
            }
        }
    }
}

/// A device that is open, and what is known of what it can say.
struct Open {
    board: Box<dyn Board>,
    /// Which start of the library it was opened in.
    generation: u64,
    facts: Arc<Facts>,
    calls: Vec<CallState>,
    fields: Vec<FieldValue>,
    /// The call for the fields.
    fields_state: CallState,
    /// The call for XID errors.
    xids_state: CallState,
    slow: Raw,
    slow_read: Option<Instant>,
    probed: Instant,
    had_instances: bool,
}

#[derive(Clone, Copy)]
struct CallState {
    pace: Pace,
    supported: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl CallState {
    const fn new(pace: Pace) -> Self {
        Self {
            pace,
            supported: true,
            failures: 0,
            not_before: None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.supported && self.not_before.is_none_or(|at| now >= at)
    }
}

/// How the calls of a round went.
#[derive(Default)]
struct Outcome {
    worked: bool,
    failed: Option<Trouble>,
}

impl Open {
    fn new(
        driver: &dyn Driver,
        generation: u64,
        at: &At,
        shared: &Shared,
    ) -> Result<Self, Trouble> {
        let mut board = driver.open(at)?;
        let facts = decode::facts(&board.identity()?, driver.versions());
        let paces = board.paces();
        let wanted = |pace: &Pace| *pace != Pace::Processes || shared.processes;
        let state = |pace: Pace| CallState {
            supported: wanted(&pace),
            ..CallState::new(pace)
        };
        let mut open = Self {
            board,
            generation,
            facts: Arc::new(facts),
            calls: paces.into_iter().map(state).collect(),
            fields: Vec::new(),
            fields_state: CallState::new(Pace::Round),
            xids_state: CallState::new(Pace::Round),
            slow: Raw::default(),
            slow_read: None,
            probed: Instant::now(),
            had_instances: false,
        };
        open.fields = open.every_field(shared)?;
        Ok(open)
    }

    /// All fields that such a device can have: those of its links, if it says how many it has.
    fn every_field(&mut self, shared: &Shared) -> Result<Vec<FieldValue>, Trouble> {
        let mut count = [fields::link_count()];
        let told = self.board.fields(&mut count).and_then(|()| {
            count[0]
                .value
                .map_err(|code| Trouble { call: FIELDS, code })
        });
        let links = match told {
            Ok(number) => number.whole().unwrap_or(0),
            Err(error) if error.code.is_unsupported() => 0,
            Err(error) => {
                shared.count(error);
                return Err(error);
            }
        };
        Ok(fields::requests(u32::try_from(links).unwrap_or(u32::MAX)))
    }

    /// Asks anew, from the next round on, for everything that was not supported.
    fn probe(&mut self, shared: &Shared) -> Result<(), Trouble> {
        self.probed = Instant::now();
        for call in &mut self.calls {
            call.supported = call.pace != Pace::Processes || shared.processes;
        }
        self.fields_state.supported = true;
        self.xids_state.supported = true;
        self.fields = self.every_field(shared)?;
        Ok(())
    }

    fn round(&mut self, own: &Own, shared: &Shared, wraps: &mut Wraps) -> Result<Reading, Trouble> {
        let now = Instant::now();
        let since = |then: Instant| now.saturating_duration_since(then);
        let mut outcome = Outcome::default();
        // Before anything else can find the device lost: they say why.
        self.read_xids(now, own, shared, &mut outcome)?;
        if self.slow_read.is_none_or(|read| since(read) >= SLOW) {
            self.slow_read = Some(now);
            let mut slow = Raw::default();
            let at = |pace| pace == Pace::Slow;
            self.make(now, at, &mut slow, shared, &mut outcome)?;
            self.slow = slow;
        }
        let mut raw = self.slow.clone();
        let at = |pace| pace != Pace::Slow;
        self.make(now, at, &mut raw, shared, &mut outcome)?;
        self.read_fields(now, shared, wraps, &mut outcome)?;
        if let Outcome {
            worked: false,
            failed: Some(error),
        } = outcome
        {
            return Err(error);
        }
        let mut reading = decode::reading(&raw, &self.fields, &self.facts);
        reading.processes = raw.processes.map(process::describe).unwrap_or_default();
        // With MIG a device has other values than without.
        let has_instances = !reading.instances.is_empty();
        if has_instances != self.had_instances || since(self.probed) >= PROBE {
            self.had_instances = has_instances;
            self.probe(shared)?;
        }
        Ok(reading)
    }

    fn read_xids(
        &mut self,
        now: Instant,
        own: &Own,
        shared: &Shared,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        if !self.xids_state.is_due(now) {
            return Ok(());
        }
        let mut xids = Vec::new();
        let result = self.board.xids(&mut xids);
        own.note(&xids);
        settle(&mut self.xids_state, result, now, shared, outcome)
    }

    /// Makes the calls that are due. What fails is counted and left out; what is fatal ends the round.
    fn make(
        &mut self,
        now: Instant,
        at: impl Fn(Pace) -> bool,
        raw: &mut Raw,
        shared: &Shared,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        for (index, state) in self.calls.iter_mut().enumerate() {
            if at(state.pace) && state.is_due(now) {
                let result = self.board.call(index, raw);
                settle(state, result, now, shared, outcome)?;
            }
        }
        Ok(())
    }

    /// Reads all fields. Those that the device does not have are not asked for again.
    fn read_fields(
        &mut self,
        now: Instant,
        shared: &Shared,
        wraps: &mut Wraps,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        for field in &mut self.fields {
            field.value = Err(Code::NOT_SUPPORTED);
        }
        if !self.fields_state.is_due(now) || self.fields.is_empty() {
            return Ok(());
        }
        let result = self.board.fields(&mut self.fields);
        let read = result.is_ok();
        settle(&mut self.fields_state, result, now, shared, outcome)?;
        if !read {
            return Ok(());
        }
        self.fields
            .retain(|field| !field.value.is_err_and(Code::is_unsupported));
        for field in &mut self.fields {
            if let Err(code) = field.value {
                let error = Trouble { call: FIELDS, code };
                shared.count(error);
                if code.is_fatal() {
                    return Err(error);
                }
            }
            wraps.extend(field);
        }
        Ok(())
    }
}

/// The one call for all fields.
const FIELDS: &str = "nvmlDeviceGetFieldValues";

/// Takes the result of a call in.
fn settle(
    state: &mut CallState,
    result: Result<(), Trouble>,
    now: Instant,
    shared: &Shared,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    match result {
        Ok(()) => {
            (state.failures, state.not_before) = (0, None);
            outcome.worked = true;
        }
        Err(error) if error.code.is_unsupported() => {
            state.supported = false;
            if error.code == Code::NO_PERMISSION {
                shared.count(error);
            }
        }
        Err(error) => {
            shared.count(error);
            if error.code.is_fatal() {
                return Err(error);
            }
            state.failures += 1;
            // The first failure costs one round; those that follow, longer and longer.
            state.not_before =
                (state.failures > 1).then(|| now + backoff(shared.interval, state.failures));
            outcome.failed = Some(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
