//! Drives a source on a thread of its own: at the interval while it works, with a growing pause while it
//! fails. The newest sample and the health lie in a [`Place`], from which the sampler takes them.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use tracing::{field::Empty, info, info_span, warn};

use super::{Failure, Source};
use crate::{
    log::ROUND,
    sample::{Durations, FailureKind, SourceHealth},
};

/// The longest pause between two tries of a source that fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Where a source leaves its newest sample. Held by the agent; the thread ends when it is dropped.
pub struct Place<T> {
    name: Arc<str>,
    deadline: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    newest: Option<(Arc<T>, Instant)>,
    round_began: Option<Instant>,
    late_counted: bool,
    down: Option<Failure>,
    errors: [u64; FailureKind::ALL.len()],
    durations: Durations,
}

impl<T> Place<T> {
    fn new(name: Arc<str>, deadline: Duration) -> Self {
        let state = State {
            newest: None,
            round_began: None,
            late_counted: false,
            down: Some(Failure::new(FailureKind::Absent, "has not been read yet")),
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
    /// A source that hangs is noticed here, by whoever asks: its own thread cannot say.
    pub fn look(&self, now: Instant) -> (Option<Arc<T>>, SourceHealth) {
        let mut state = self.lock();
        let age = state
            .newest
            .as_ref()
            .map(|(_, read)| now.saturating_duration_since(*read));
        let hangs = state
            .round_began
            .map(|began| now.saturating_duration_since(began))
            .filter(|spent| *spent > self.deadline);
        if let Some(spent) = hangs
            && !state.late_counted
        {
            state.late_counted = true;
            state.errors[FailureKind::Deadline as usize] += 1;
            let reason = format!("does not answer since {} s", spent.as_secs());
            warn!(
                source = &*self.name,
                gpu_id = gpu_id(&self.name),
                "the {} source is down: {reason}",
                self.name
            );
            state.down = Some(Failure::new(FailureKind::Deadline, reason));
        }
        let fresh = state.down.is_none() && age.is_some_and(|age| age <= self.deadline);
        let health = SourceHealth {
            source: Arc::clone(&self.name),
            down: state.down.as_ref().map(|failure| failure.reason.clone()),
            kind: state.down.as_ref().map(|failure| failure.kind),
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
        state.round_began = Some(Instant::now());
        state.late_counted = false;
    }

    /// Takes a round's result in; says whether the source works.
    fn end(&self, result: Result<T, Failure>, began: Instant, first: bool) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.round_began = None;
        state
            .durations
            .observe(now.saturating_duration_since(began).as_secs_f64());
        match result {
            Ok(sample) => {
                state.newest = Some((Arc::new(sample), now));
                let down = state.down.take();
                if down.is_some_and(|failure| !failure.told_elsewhere) && !first {
                    info!(
                        source = &*self.name,
                        gpu_id = gpu_id(&self.name),
                        "the {} source is back",
                        self.name
                    );
                }
                true
            }
            Err(failure) => {
                let Failure { kind, reason, .. } = &failure;
                state.errors[*kind as usize] += 1;
                let news = first || state.down.as_ref() != Some(&failure);
                if news && !failure.told_elsewhere {
                    warn!(
                        source = &*self.name,
                        gpu_id = gpu_id(&self.name),
                        kind = kind.name(),
                        "the {} source is down: {reason}",
                        self.name
                    );
                }
                state.down = Some(failure);
                false
            }
        }
    }
}

/// A source whose thread has been started; its first round may still be under way.
pub struct Started<T> {
    place: Arc<Place<T>>,
    first_round: Receiver<()>,
}

impl<T> Started<T> {
    /// The place, once the first round is over or the deadline is: a page that is asked for right after the start
    /// is complete.
    pub fn wait(self, until: Instant) -> Arc<Place<T>> {
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
pub fn spawn<S: Source>(source: S, interval: Duration) -> io::Result<Arc<Place<S::Sample>>> {
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
    ) -> io::Result<Arc<Place<S::Sample>>> {
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
    let place = Arc::new(Place::new(Arc::clone(&name), deadline(interval)));
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
                place.end(result, began, first_round.is_some())
            });
            drop(span);
            drop(place);
            first_round = None;
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
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Does in each round what it is told; hangs until it is.
    struct Told(Receiver<Result<u32, Failure>>);

    impl Source for Told {
        type Sample = u32;

        fn name(&self) -> Arc<str> {
            "told".into()
        }

        fn collect(&mut self) -> Result<u32, Failure> {
            let gone = || Failure::new(FailureKind::Read, "nobody tells");
            self.0.recv().unwrap_or_else(|_closed| Err(gone()))
        }
    }

    const INTERVAL: Duration = Duration::from_millis(10);

    fn start() -> (Sender<Result<u32, Failure>>, Arc<Place<u32>>) {
        let (tell, told) = channel();
        tell.send(Ok(1)).unwrap();
        (tell, spawn(Told(told), INTERVAL).unwrap())
    }

    /// Looks, as if it were so much later, until it is as wanted.
    fn until(
        place: &Place<u32>,
        later: Duration,
        wanted: impl Fn(Option<u32>, &SourceHealth) -> bool,
    ) -> SourceHealth {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let (sample, health) = place.look(Instant::now() + later);
            if wanted(sample.as_deref().copied(), &health) {
                return health;
            }
            assert!(Instant::now() < end, "{sample:?} {health:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_first_sample_is_there_when_it_has_started() {
        let (_tell, place) = start();
        let (sample, health) = place.look(Instant::now());
        assert_eq!((sample.as_deref(), health.down), (Some(&1), None));
        assert_eq!(health.errors, [0; FailureKind::ALL.len()]);
    }

    #[test]
    fn a_failure_takes_the_sample_away_until_it_reads_again() {
        let (tell, place) = start();
        tell.send(Err(Failure::new(FailureKind::NotFound, "lost")))
            .unwrap();
        let health = until(&place, Duration::ZERO, |sample, health| {
            sample.is_none() && health.down.as_deref() == Some("lost")
        });
        assert_eq!(health.errors[FailureKind::NotFound as usize], 1);
        tell.send(Ok(2)).unwrap();
        until(&place, Duration::ZERO, |sample, health| {
            sample == Some(2) && health.down.is_none()
        });
    }

    #[test]
    fn one_that_hangs_is_late_once_and_comes_back() {
        let (tell, place) = start();
        let long = deadline(INTERVAL) + Duration::from_secs(1);
        let hangs =
            |sample: Option<u32>, health: &SourceHealth| sample.is_none() && health.down.is_some();
        until(&place, long, hangs);
        let health = until(&place, long, hangs);
        assert_eq!(
            health.errors[FailureKind::Deadline as usize],
            1,
            "one hang is one error"
        );
        tell.send(Ok(3)).unwrap();
        until(&place, Duration::ZERO, |sample, health| {
            sample == Some(3) && health.down.is_none()
        });
    }

    #[test]
    fn what_is_too_old_is_not_shown() {
        let (_tell, place) = start();
        let (sample, health) = place.look(Instant::now() + deadline(INTERVAL) * 2);
        assert_eq!(sample, None);
        assert!(health.age_seconds > Some(deadline(INTERVAL).as_secs_f64()));
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often() {
        let second = Duration::from_secs(1);
        let pauses: Vec<u64> = (0..8)
            .map(|failures| backoff(second, failures).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(2 * LONGEST_PAUSE, 5), 2 * LONGEST_PAUSE);
    }

    #[test]
    fn ticks_keep_their_rhythm_and_an_overrun_makes_no_crowd() {
        let (start, tick) = (Instant::now(), Duration::from_millis(100));
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(following(start, at(30), tick), at(100));
        assert_eq!(following(start, at(950), tick), at(1050));
    }
}
