//! A scripted source, observed at later times.

use std::sync::mpsc::{Sender, channel};

use super::*;

/// Returns what it receives; hangs until then.
struct Scripted(Receiver<Result<u32, Failure>>);

impl Source for Scripted {
    type Sample = u32;

    fn name(&self) -> Arc<str> {
        "scripted".into()
    }

    fn collect(&mut self) -> Result<u32, Failure> {
        let gone = || Failure::new(FailureKind::Read, "no script");
        self.0.recv().unwrap_or_else(|_closed| Err(gone()))
    }
}

const INTERVAL: Duration = Duration::from_millis(10);

fn start() -> (Sender<Result<u32, Failure>>, Arc<LatestSample<u32>>) {
    let (tell, script) = channel();
    tell.send(Ok(1)).unwrap();
    (tell, spawn(Scripted(script), INTERVAL).unwrap())
}

/// Observes the source at a later time until a condition holds.
fn until(
    latest: &LatestSample<u32>,
    later: Duration,
    wanted: impl Fn(Option<u32>, &SourceHealth) -> bool,
) -> SourceHealth {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let (sample, health) = latest.look(&clock::now().after_running(later));
        if wanted(sample.as_deref().copied(), &health) {
            return health;
        }
        assert!(Instant::now() < end, "{sample:?} {health:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_first_sample_is_there_after_the_start() {
    let (_tell, latest) = start();
    let (sample, health) = latest.look(&clock::now());
    assert_eq!((sample.as_deref(), health.down), (Some(&1), None));
    assert_eq!(health.errors, [0; FailureKind::ALL.len()]);
}

#[test]
fn a_failure_removes_the_sample_until_the_next_success() {
    let (tell, latest) = start();
    tell.send(Err(Failure::new(FailureKind::NotFound, "lost")))
        .unwrap();
    let health = until(&latest, Duration::ZERO, |sample, health| {
        sample.is_none() && health.down.as_deref() == Some("lost")
    });
    assert_eq!(health.errors[FailureKind::NotFound as usize], 1);
    tell.send(Ok(2)).unwrap();
    until(&latest, Duration::ZERO, |sample, health| {
        sample == Some(2) && health.down.is_none()
    });
}

#[test]
fn a_hang_is_one_error_and_ends() {
    let (tell, latest) = start();
    let long = deadline(INTERVAL) + Duration::from_secs(1);
    let hangs = |sample: Option<u32>, health: &SourceHealth| {
        sample.is_none() && health.errors[FailureKind::Deadline as usize] > 0
    };
    until(&latest, long, hangs);
    let health = until(&latest, long, hangs);
    assert_eq!(
        health.errors[FailureKind::Deadline as usize],
        1,
        "one hang is one error"
    );
    tell.send(Ok(3)).unwrap();
    until(&latest, Duration::ZERO, |sample, health| {
        sample == Some(3) && health.down.is_none()
    });
}

#[test]
fn a_sample_that_is_too_old_is_not_shown() {
    let (_tell, latest) = start();
    let (sample, health) = latest.look(&clock::now().after_running(deadline(INTERVAL) * 2));
    assert_eq!((sample, health.kind), (None, Some(FailureKind::Deadline)));
    assert!(health.age_seconds > Some(deadline(INTERVAL).as_secs_f64()));
}

#[test]
fn after_a_pause_the_source_is_up_without_its_old_sample() {
    let (tell, latest) = start();
    latest.begin();
    let woken = clock::now().after_pause(deadline(INTERVAL) * 10);
    let (sample, health) = latest.look(&woken);
    assert_eq!((sample, health.down), (None, None));
    assert!(health.age_seconds > Some(deadline(INTERVAL).as_secs_f64() * 10.0));
    // The deadline starts again.
    let (_, health) = latest.look(&woken.after_running(deadline(INTERVAL)));
    assert_eq!(health.down, None);
    let (_, health) = latest.look(&woken.after_running(deadline(INTERVAL) * 2));
    assert_eq!(health.kind, Some(FailureKind::Deadline));
    assert_eq!(health.errors[FailureKind::Deadline as usize], 1);
    tell.send(Ok(2)).unwrap();
    until(&latest, Duration::ZERO, |sample, _| sample == Some(2));
}

#[test]
fn an_outage_is_logged_once_even_if_its_reason_changes() {
    let (_tell, latest) = start();
    let fail = |latest: &LatestSample<u32>, reason: &str| {
        let failure = Failure::new(FailureKind::Lost, reason);
        latest.end(Err(failure), Some("a GPU".into()), Instant::now());
        latest.lock().is_logged
    };
    let elsewhere = Failure::new(FailureKind::Absent, "no library").logged_elsewhere();
    latest.end(Err(elsewhere.clone()), None, Instant::now());
    assert!(!latest.lock().is_logged, "another source logs it");
    assert!(fail(&latest, "one reason") && fail(&latest, "another"));
    latest.end(Err(elsewhere), None, Instant::now());
    assert!(latest.lock().is_logged, "the outage goes on");
    let (_, health) = latest.look(&clock::now());
    assert_eq!(health.down.as_deref(), Some("no library [a GPU]"));
    latest.end(Ok(3), None, Instant::now());
    assert!(!latest.lock().is_logged);
}

#[test]
fn ticks_stay_at_multiples_and_missed_ones_are_skipped() {
    let (start, tick) = (Instant::now(), Duration::from_millis(100));
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    assert_eq!(following(start, at(30), tick), at(100));
    assert_eq!(following(start, at(950), tick), at(1050));
}

/// With `Absent` the agent would be ready before the first round.
#[test]
fn a_source_is_not_absent_before_its_first_round() {
    let (tell, script) = channel::<Result<u32, Failure>>();
    let latest = start_only(Scripted(script));
    let (sample, health) = latest.look(&clock::now());
    assert_eq!((sample, health.kind), (None, Some(FailureKind::Deadline)));
    assert_eq!(health.errors, [0; FailureKind::ALL.len()]);
    drop(tell);
}

fn start_only(source: Scripted) -> Arc<LatestSample<u32>> {
    super::start(source, INTERVAL).unwrap().wait(Instant::now())
}
