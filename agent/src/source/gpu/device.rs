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
    raw::{At, Board, Code, Driver, Number, Pace, Raw, Trouble},
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
    /// Since the agent started.
    xids: Mutex<BTreeMap<u64, Xid>>,
    /// Whether only a new start of the library can bring it back.
    lost: AtomicBool,
}

impl Own {
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
            waits: None,
            failures: 0,
        }
    }

    /// Opens the GPU: the one that was open before, else the one at the index, else one that nobody has.
    fn open(&mut self, driver: &dyn Driver) -> Result<Open, Trouble> {
        if let Some(id) = &self.bus_id {
            return Open::new(driver, &At::BusId(Arc::clone(id)), &self.shared);
        }
        let others = (0..driver.count()?).filter(|index| *index != self.index);
        let mut last = None;
        for index in std::iter::once(self.index).chain(others) {
            match Open::new(driver, &At::Index(index), &self.shared) {
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
        Err(last.unwrap_or(Trouble {
            call: "nvmlDeviceGetHandleByIndex_v2",
            code: Code::NOT_FOUND,
        }))
    }

    fn round(&mut self, driver: &dyn Driver) -> Result<Reading, Trouble> {
        let own = Arc::clone(&self.own);
        let mut place = lock(&own.open);
        let open = match &mut *place {
            Some(open) => open,
            none => {
                let opened = self
                    .open(driver)
                    .inspect_err(|error| self.shared.count(*error))?;
                none.insert(opened)
            }
        };
        let outcome = open.round(&own, &self.shared);
        if outcome.is_err() {
            *place = None;
        }
        outcome
    }
}

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
        let (driver, generation) = self.shared.driver().map_err(Failure::elsewhere)?;
        if let Some((failure, until, before)) = &self.waits
            && generation == *before
            && Instant::now() < *until
        {
            return Err(failure.clone());
        }
        match self.round(&*driver) {
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
    facts: Arc<Facts>,
    calls: Vec<CallState>,
    fields: Vec<FieldValue>,
    /// The call for the fields.
    fields_state: CallState,
    slow: Raw,
    slow_read: Option<Instant>,
    probed: Instant,
    had_instances: bool,
    wraps: Wraps,
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
    fn new(driver: &dyn Driver, at: &At, shared: &Shared) -> Result<Self, Trouble> {
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
            facts: Arc::new(facts),
            calls: paces.into_iter().map(state).collect(),
            fields: Vec::new(),
            fields_state: CallState::new(Pace::Round),
            slow: Raw::default(),
            slow_read: None,
            probed: Instant::now(),
            had_instances: false,
            wraps: Wraps::default(),
        };
        open.fields = open.every_field();
        Ok(open)
    }

    /// All fields that such a device can have.
    fn every_field(&mut self) -> Vec<FieldValue> {
        let mut links = [fields::link_count()];
        let count = match (self.board.fields(&mut links), links[0].value) {
            (Ok(()), Ok(Number::U32(count))) => count,
            _ => 0,
        };
        fields::requests(count)
    }

    /// Asks anew for everything that was not supported.
    fn probe(&mut self, shared: &Shared) {
        self.probed = Instant::now();
        for call in &mut self.calls {
            call.supported = call.pace != Pace::Processes || shared.processes;
        }
        self.fields_state.supported = true;
        self.fields = self.every_field();
    }

    fn round(&mut self, own: &Own, shared: &Shared) -> Result<Reading, Trouble> {
        let now = Instant::now();
        if now.saturating_duration_since(self.probed) >= PROBE {
            self.probe(shared);
        }
        let mut outcome = Outcome::default();
        if self
            .slow_read
            .is_none_or(|read| now.saturating_duration_since(read) >= SLOW)
        {
            self.slow_read = Some(now);
            let mut slow = Raw::default();
            self.make(
                now,
                |pace| pace == Pace::Slow,
                &mut slow,
                shared,
                &mut outcome,
            )?;
            self.slow = slow;
        }
        let mut raw = self.slow.clone();
        let made = self.make(
            now,
            |pace| pace != Pace::Slow,
            &mut raw,
            shared,
            &mut outcome,
        );
        // Noted also when a later call found the device lost: they say why.
        own.note(&raw.xids);
        made?;
        self.read_fields(now, shared, &mut outcome)?;
        if let Outcome {
            worked: false,
            failed: Some(error),
        } = outcome
        {
            return Err(error);
        }
        let has_instances = raw
            .instances
            .as_ref()
            .is_some_and(|instances| !instances.is_empty());
        if has_instances != self.had_instances {
            // With MIG a device has other values than without.
            self.had_instances = has_instances;
            self.probe(shared);
        }
        let mut reading = decode::reading(&raw, &self.fields, &self.facts);
        reading.processes = raw.processes.map(process::describe).unwrap_or_default();
        Ok(reading)
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

    fn read_fields(
        &mut self,
        now: Instant,
        shared: &Shared,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        let due = self.fields_state.is_due(now) && !self.fields.is_empty();
        let result = if due {
            self.board.fields(&mut self.fields)
        } else {
            Ok(())
        };
        let read = due && result.is_ok();
        if !read {
            for field in &mut self.fields {
                field.value = Err(Code::NOT_SUPPORTED);
            }
        }
        if due {
            settle(&mut self.fields_state, result, now, shared, outcome)?;
        }
        if read {
            self.fields
                .retain(|field| !field.value.is_err_and(Code::is_unsupported));
            for field in &mut self.fields {
                if let Err(code) = field.value {
                    shared.count(Trouble {
                        call: "nvmlDeviceGetFieldValues",
                        code,
                    });
                    if code.is_fatal() {
                        return Err(Trouble {
                            call: "nvmlDeviceGetFieldValues",
                            code,
                        });
                    }
                }
                self.wraps.extend(field);
            }
        }
        Ok(())
    }
}

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
