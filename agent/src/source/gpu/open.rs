//! One open device: what it can say, when to ask for it, and what to make of calls that fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{
    counters::Wraps,
    decode,
    fields::{self, FieldValue},
    own::Own,
    process,
    raw::{At, Board, Code, Driver, Event, Pace, Raw, Trouble},
    shared::Shared,
};
use crate::{
    sample::gpu::{Facts, Reading},
    source::backoff,
};

/// How often what rarely changes is read.
pub(super) const SLOW: Duration = Duration::from_secs(10);

/// How often a device is asked again for what it did not have: a mode may have been switched.
pub(super) const PROBE: Duration = Duration::from_mins(5);

/// How long to wait for the XID error of a device that has just failed: the kernel tells it about then.
const DRAIN: Duration = Duration::from_millis(50);

/// A device that is open, and what is known of what it can say.
pub(super) struct Open {
    pub(super) board: Box<dyn Board>,
    /// Which start of the library it was opened in.
    pub(super) generation: u64,
    /// Who it is.
    pub(super) facts: Arc<Facts>,
    calls: Vec<CallState>,
    fields: Vec<FieldValue>,
    /// The call for the fields.
    fields_state: CallState,
    /// The call for XID errors.
    xids_state: CallState,
    slow: Raw,
    pub(super) slow_read: Option<Instant>,
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
    pub(super) fn new(
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

    pub(super) fn round(
        &mut self,
        own: &Own,
        shared: &Shared,
        wraps: &mut Wraps,
    ) -> Result<Reading, Trouble> {
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
        let result = self.take_xids(Duration::ZERO, own, shared);
        settle(&mut self.xids_state, result, now, shared, outcome)
    }

    /// Counts each error for the device that its event names.
    fn take_xids(&mut self, patience: Duration, own: &Own, shared: &Shared) -> Result<(), Trouble> {
        let mut events = Vec::new();
        let result = self.board.xids(patience, &mut events);
        for Event { xid, device } in events {
            let noted = match shared.named(self.generation, device) {
                Some(named) if device != self.board.handle() => named.note(xid),
                // Its own, or one that nobody has.
                _ => own.note(xid),
            };
            if !noted {
                shared.count(Trouble {
                    call: "nvmlEventSetWait_v2",
                    code: Code::IMPLAUSIBLE,
                });
            }
        }
        result
    }

    /// Takes what is left of a device that is about to be closed; it may be gone, and then has nothing.
    pub(super) fn drain(&mut self, own: &Own, shared: &Shared) {
        if self.xids_state.supported
            && let Err(error) = self.take_xids(DRAIN, own, shared)
        {
            debug!("no XID error was read at the end: {error}");
        }
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
pub(super) const FIELDS: &str = "nvmlDeviceGetFieldValues";

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
