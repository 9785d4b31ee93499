//! Runs a source on its own thread: every interval while it works, with a growing pause while it fails. The newest sample
//! and the health are in a [`LatestSample`].
//!
//! An outage is logged when it begins and when it ends, even if its reason changes; the health has the current reason.

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
    backoff::Backoff,
    log::ROUND,
    sample::{Durations, FailureKind, SourceHealth},
};

/// A source's newest sample and its health. The source's thread ends when it is dropped.
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
    /// Whether the outage has been logged.
    is_logged: bool,
    /// As [`Source::about`].
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
            // Not `Absent`: until the first sample, the agent is not ready.
            down: Some(Failure::new(FailureKind::Deadline, "has not been read yet")),
            is_logged: false,
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
        // The state is valid after each statement, even if a thread has panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The health, and the newest sample unless the source is down or the sample is older than the deadline.
    ///
    /// Detects a source that hangs, since its own thread cannot. The time that the whole agent was paused does not count
    /// towards the deadline, but it does towards the age of the sample: after a pause the source is up without a sample.
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
            let reason = format!("no response for {} s", spent.as_secs());
            let failure = Failure::new(FailureKind::Deadline, reason);
            self.log_down(&mut state, &failure);
            state.down = Some(failure);
        }
        let read = state.newest.as_ref().map(|(_, read)| *read);
        // The round is in time, but the sample is too old.
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

    /// Stores the result of a round. Returns whether the source works.
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
                if std::mem::take(&mut state.is_logged) {
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
                if !failure.logged_elsewhere && state.down.as_ref() != Some(&failure) {
                    self.log_down(&mut state, &failure);
                }
                state.down = Some(failure);
                false
            }
        }
    }

    /// Logs the beginning of an outage; further failures only at the level `debug`.
    fn log_down(&self, state: &mut State<T>, failure: &Failure) {
        let Failure { kind, reason, .. } = failure;
        let source = &*self.name;
        if state.is_logged {
            debug!(
                source,
                kind = kind.name(),
                "the {source} source is still down: {reason}"
            );
            return;
        }
        state.is_logged = true;
        warn!(
            source,
            gpu_id = gpu_id(source),
            kind = kind.name(),
            "the {source} source is down: {}",
            with(reason, state.about.as_deref())
        );
    }
}

/// Appends what a text is about.
fn with(text: &str, about: Option<&str>) -> String {
    about.map_or_else(|| text.to_owned(), |about| format!("{text} [{about}]"))
}

/// A source whose thread has been started.
pub struct Started<T> {
    latest: Arc<LatestSample<T>>,
    first_round: Receiver<()>,
}

impl<T> Started<T> {
    /// Waits for the end of the first round, so that the first page is complete, but no longer than `until`.
    pub fn wait(self, until: Instant) -> Arc<LatestSample<T>> {
        let patience = until.saturating_duration_since(Instant::now());
        // The end of the round drops the sender, which is an error here.
        let _ = self.first_round.recv_timeout(patience);
        self.latest
    }
}

/// Starts the source's thread and waits for its first round, but no longer than the deadline.
///
/// # Errors
/// If the operating system cannot start a thread.
pub fn spawn<S: Source>(source: S, interval: Duration) -> io::Result<Arc<LatestSample<S::Sample>>> {
    Ok(start(source, interval)?.wait(Instant::now() + deadline(interval)))
}

/// Starts the source's thread.
///
/// # Errors
/// If the operating system cannot start a thread.
pub fn start<S: Source>(source: S, interval: Duration) -> io::Result<Started<S::Sample>> {
    let thread = thread::Builder::new().name(source.name().to_string());
    let (started, rounds) = prepare(source, interval);
    thread.spawn(rounds)?;
    Ok(started)
}

/// A thread that waits for its source.
pub struct ReadyThread(mpsc::SyncSender<Job>);

type Job = Box<dyn FnOnce() + Send>;

/// Starts the thread of a source before the source exists, while the caller still has the privileges that the thread
/// needs. The thread runs `first` at once.
///
/// # Errors
/// If the operating system cannot start a thread.
pub fn start_thread(name: &str, first: impl FnOnce() + Send + 'static) -> io::Result<ReadyThread> {
    let (give, job) = mpsc::sync_channel::<Job>(1);
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        first();
        // An error means that the agent has failed to start.
        if let Ok(job) = job.recv() {
            job();
        }
    })?;
    Ok(ReadyThread(give))
}

impl ReadyThread {
    /// As [`spawn()`], on this thread.
    ///
    /// # Errors
    /// If the thread has ended.
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

/// The body of a source's thread, and what the agent keeps of the source.
fn prepare<S: Source>(
    mut source: S,
    interval: Duration,
) -> (Started<S::Sample>, impl FnOnce() + Send + 'static) {
    let name = source.name();
    let latest = Arc::new(LatestSample::new(Arc::clone(&name), deadline(interval)));
    let (sender, first_round) = mpsc::channel::<()>();
    let weak = Arc::downgrade(&latest);
    let rounds = move || {
        let mut first_round = Some(sender);
        let start = Instant::now();
        let mut next = start;
        let mut failures = 0_u32;
        loop {
            let Some(latest) = Weak::upgrade(&weak) else {
                return;
            };
            latest.begin();
            let began = Instant::now();
            // The rounds of all sources in the same interval form one trace.
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
                latest.end(result, source.about(), began)
            });
            drop(span);
            drop(latest);
            drop(first_round.take());
            failures = if works { 0 } else { failures.saturating_add(1) };
            let pause = if failures > 0 && source.backs_off() {
                Backoff::of_reads(interval).pause(failures)
            } else {
                interval
            };
            next = following(next, Instant::now(), pause);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    };
    (
        Started {
            latest,
            first_round,
        },
        rounds,
    )
}

/// The GPU that a source reads: their names are `gpu0`, `gpu1` and so on.
fn gpu_id(source: &str) -> Option<&str> {
    source.strip_prefix("gpu").filter(|id| !id.is_empty())
}

/// The longest age of a sample and the longest duration of a round.
pub fn deadline(interval: Duration) -> Duration {
    interval * 2 + Duration::from_secs(1)
}

/// The next tick after `now`. Ticks stay at multiples of the pause; ticks that were missed are skipped.
fn following(last: Instant, now: Instant, pause: Duration) -> Instant {
    let next = last + pause;
    if next > now { next } else { now + pause }
}

#[cfg(test)]
mod tests;
