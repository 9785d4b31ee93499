//! Drives a source on a thread of its own: at the interval while it works, with a growing pause while it
//! fails. The newest sample and the health lie in a [`LatestSample`], from which the sampler takes them.
//!
//! An outage is one line in the log when it begins and one when it ends, whatever else goes wrong in between; the
//! reason of the moment is in the health.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use tracing::{debug, field::Empty, info, info_span, warn};

use super::{
    Failure, Source,
    clock::{self, Moment},
};
use crate::{
    log::ROUND,
    sample::{Durations, FailureKind, SourceHealth},
};

/// The longest pause between two tries of a source that fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Where a source leaves its newest sample. Held by the agent; the thread ends when it is dropped.
pub struct LatestSample<T> {
    name: Arc<str>,
    deadline: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    newest: Option<(Arc<T>, Moment)>,
    round_began: Option<Moment>,
    late_counted: bool,
    down: Option<Failure>,
    /// The log says that it is down.
    told: bool,
    /// What it reads, as far as that is known.
    about: Option<Arc<str>>,
    errors: [u64; FailureKind::ALL.len()],
    durations: Durations,
}

impl<T> LatestSample<T> {
    fn new(name: Arc<str>, deadline: Duration) -> Self {
        let state = State {
            newest: None,
            round_began: None,
            late_counted: false,
            // Not absent, which is no fault: until it has been read the agent is not ready.
            down: Some(Failure::new(FailureKind::Deadline, "has not been read yet")),
            told: false,
            about: None,
            errors: [0; FailureKind::ALL.len()],
            durations: Durations::default(),
        };
        Self {
            name,
            deadline,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic while holding it cannot leave the state half-written in a way that matters here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest sample, unless the source is down or it is older than the deadline; and the health.
    ///
    /// A source that hangs is noticed here, by whoever asks: its own thread cannot say. Its deadline runs while the
    /// agent does. After a pause of the whole agent the source is up, and until it has been read again there is
    /// no sample: the one from before the pause is too old to pass for new.
    pub fn look(&self, now: &Moment) -> (Option<Arc<T>>, SourceHealth) {
        let mut state = self.lock();
        let hangs = state
            .round_began
            .map(|began| now.ran_since(&began))
            .filter(|spent| *spent > self.deadline);
        if let Some(spent) = hangs
            && !state.late_counted
        {
            state.late_counted = true;
            state.errors[FailureKind::Deadline as usize] += 1;
            let reason = format!("does not answer since {} s", spent.as_secs());
            let failure = Failure::new(FailureKind::Deadline, reason);
            self.tell_down(&mut state, &failure);
            state.down = Some(failure);
        }
        let read = state.newest.as_ref().map(|(_, read)| *read);
        // Its round is not late yet, and yet there is nothing to show.
        let overdue = read
            .map(|read| now.ran_since(&read))
            .filter(|age| state.down.is_none() && *age > self.deadline)
            .map(|age| {
                let reason = format!("has not been read for {} s", age.as_secs());
                Failure::new(FailureKind::Deadline, reason)
            });
        let down = state.down.as_ref().or(overdue.as_ref());
        let age = read.map(|read| now.since(&read));
        let fresh = down.is_none() && age.is_some_and(|age| age <= self.deadline);
        let health = SourceHealth {
            source: Arc::clone(&self.name),
            down: down.map(|failure| with(&failure.reason, state.about.as_deref())),
            kind: down.map(|failure| failure.kind),
            errors: state.errors,
            durations: state.durations,
            age_seconds: age.map(|age| age.as_secs_f64()),
        };
        let sample = state
            .newest
            .as_ref()
            .filter(|_| fresh)
            .map(|(sample, _)| Arc::clone(sample));
        (sample, health)
    }

    fn begin(&self) {
        let mut state = self.lock();
        state.round_began = Some(clock::now());
        state.late_counted = false;
    }

    /// Takes a round's result in; says whether the source works.
    fn end(&self, result: Result<T, Failure>, about: Option<Arc<str>>, began: Instant) -> bool {
        let now = clock::now();
        let mut state = self.lock();
        state.round_began = None;
        state.durations.observe(began.elapsed().as_secs_f64());
        state.about = about.or(state.about.take());
        match result {
            Ok(sample) => {
                state.newest = Some((Arc::new(sample), now));
                state.down = None;
                if std::mem::take(&mut state.told) {
                    let back = format!("the {} source is back", self.name);
                    info!(
                        source = &*self.name,
                        gpu_id = gpu_id(&self.name),
                        "{}",
                        with(&back, state.about.as_deref())
                    );
                }
                true
            }
            Err(failure) => {
                state.errors[failure.kind as usize] += 1;
                if !failure.told_elsewhere && state.down.as_ref() != Some(&failure) {
                    self.tell_down(&mut state, &failure);
                }
                state.down = Some(failure);
                false
            }
        }
    }

    /// Says in the log that an outage begins; what else goes wrong in its course, only at the level `debug`.
    fn tell_down(&self, state: &mut State<T>, failure: &Failure) {
        let Failure { kind, reason, .. } = failure;
        let source = &*self.name;
        if state.told {
            debug!(
                source,
                kind = kind.name(),
                "the {source} source is still down: {reason}"
            );
            return;
        }
        state.told = true;
        warn!(
            source,
            gpu_id = gpu_id(source),
            kind = kind.name(),
            "the {source} source is down: {}",
            with(reason, state.about.as_deref())
        );
    }
}

/// A text, and what it is about.
fn with(text: &str, about: Option<&str>) -> String {
    about.map_or_else(|| text.to_owned(), |about| format!("{text} [{about}]"))
}

/// A source whose thread has been started; its first round may still be under way.
pub struct Started<T> {
    place: Arc<LatestSample<T>>,
    first_round: Receiver<()>,
}

impl<T> Started<T> {
    /// The place, once the first round is over or the deadline is: a page that is asked for right after the start
    /// is complete.
    pub fn wait(self, until: Instant) -> Arc<LatestSample<T>> {
        let patience = until.saturating_duration_since(Instant::now());
        // An error is the sender going away, which is what is waited for.
        let _ = self.first_round.recv_timeout(patience);
        self.place
    }
}

/// Starts the source's thread and waits for its first round, but not longer than the deadline.
///
/// # Errors
/// When the operating system has no thread left.
pub fn spawn<S: Source>(source: S, interval: Duration) -> io::Result<Arc<LatestSample<S::Sample>>> {
    Ok(start(source, interval)?.wait(Instant::now() + deadline(interval)))
}

/// Starts the source's thread.
///
/// # Errors
/// When the operating system has no thread left.
pub fn start<S: Source>(source: S, interval: Duration) -> io::Result<Started<S::Sample>> {
    let thread = thread::Builder::new().name(source.name().to_string());
    let (started, rounds) = prepare(source, interval);
    thread.spawn(rounds)?;
    Ok(started)
}

/// A thread that waits for the source that it is to drive.
pub struct Ahead(mpsc::SyncSender<Job>);

type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread of that name ahead of its source, so that it has the privileges that the caller has now. Does `first`
/// on it before all else.
///
/// # Errors
/// When the operating system has no thread left.
pub fn ahead(name: &str, first: impl FnOnce() + Send + 'static) -> io::Result<Ahead> {
    let (give, job) = mpsc::sync_channel::<Job>(1);
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        first();
        // An error is an agent that does not start after all.
        if let Ok(job) = job.recv() {
            job();
        }
    })?;
    Ok(Ahead(give))
}

impl Ahead {
    /// As [`spawn`], on this thread.
    ///
    /// # Errors
    /// If it is gone.
    pub fn spawn<S: Source>(
        self,
        source: S,
        interval: Duration,
    ) -> io::Result<Arc<LatestSample<S::Sample>>> {
        let (started, rounds) = prepare(source, interval);
        let given = self.0.send(Box::new(rounds));
        given.map_err(|_gone| io::Error::other("its thread has ended"))?;
        Ok(started.wait(Instant::now() + deadline(interval)))
    }
}

/// What a source's thread does, and what is known of it.
fn prepare<S: Source>(
    mut source: S,
    interval: Duration,
) -> (Started<S::Sample>, impl FnOnce() + Send + 'static) {
    let name = source.name();
    let place = Arc::new(LatestSample::new(Arc::clone(&name), deadline(interval)));
    let (sender, first_round) = mpsc::channel::<()>();
    let place_of_thread = Arc::downgrade(&place);
    let rounds = move || {
        let mut first_round = Some(sender);
        let start = Instant::now();
        let mut next = start;
        let mut failures = 0_u32;
        loop {
            let Some(place) = Weak::upgrade(&place_of_thread) else {
                return;
            };
            place.begin();
            let began = Instant::now();
            // As a span it is a part of the round that all sources have in this interval.
            let ticks = (began - start + interval / 2).as_nanos() / interval.as_nanos().max(1);
            let span = info_span!(
                target: ROUND,
                "round",
                source = &*name,
                round = u64::try_from(ticks).unwrap_or(u64::MAX),
                kind = Empty,
                failure = Empty,
            );
            let works = span.in_scope(|| {
                let result = source.collect();
                if let Err(Failure { kind, reason, .. }) = &result {
                    span.record("kind", kind.name());
                    span.record("failure", reason.as_str());
                }
                place.end(result, source.about(), began)
            });
            drop(span);
            drop(place);
            drop(first_round.take());
            failures = if works { 0 } else { failures.saturating_add(1) };
            next = following(next, Instant::now(), source.pause(interval, failures));
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    };
    (Started { place, first_round }, rounds)
}

/// The GPU that a source reads, if it reads one: theirs are called `gpu0`, `gpu1` and so on.
fn gpu_id(source: &str) -> Option<&str> {
    source.strip_prefix("gpu").filter(|id| !id.is_empty())
}

/// How old a sample may be, and how long a round may take.
pub fn deadline(interval: Duration) -> Duration {
    interval * 2 + Duration::from_secs(1)
}

/// Twice as long after each failure, up to a minute.
pub fn backoff(interval: Duration, failures: u32) -> Duration {
    interval
        .saturating_mul(1_u32 << failures.min(16))
        .min(LONGEST_PAUSE.max(interval))
}

/// The next tick after `now`: ticks keep their rhythm, and a round that overran does not make a crowd.
fn following(last: Instant, now: Instant, pause: Duration) -> Instant {
    let next = last + pause;
    if next > now { next } else { now + pause }
}

#[cfg(test)]
mod tests;
