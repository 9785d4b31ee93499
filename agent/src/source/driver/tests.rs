//! A source that does as it is told, looked at as if it were later.

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

fn start() -> (Sender<Result<u32, Failure>>, Arc<LatestSample<u32>>) {
    let (tell, told) = channel();
    tell.send(Ok(1)).unwrap();
    (tell, spawn(Told(told), INTERVAL).unwrap())
}

/// Looks, as if it were so much later, until it is as wanted.
fn until(
    place: &LatestSample<u32>,
    later: Duration,
    wanted: impl Fn(Option<u32>, &SourceHealth) -> bool,
) -> SourceHealth {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let (sample, health) = place.look(&clock::now().after_running(later));
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
    let (sample, health) = place.look(&clock::now());
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
    let hangs = |sample: Option<u32>, health: &SourceHealth| {
        sample.is_none() && health.errors[FailureKind::Deadline as usize] > 0
    };
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
fn what_is_too_old_is_not_shown_and_its_source_is_late() {
    let (_tell, place) = start();
    let (sample, health) = place.look(&clock::now().after_running(deadline(INTERVAL) * 2));
    assert_eq!((sample, health.kind), (None, Some(FailureKind::Deadline)));
    assert!(health.age_seconds > Some(deadline(INTERVAL).as_secs_f64()));
}

#[test]
fn after_a_pause_the_source_is_up_and_nothing_old_passes_for_new() {
    let (tell, place) = start();
    place.begin();
    let woken = clock::now().after_pause(deadline(INTERVAL) * 10);
    let (sample, health) = place.look(&woken);
    assert_eq!((sample, health.down), (None, None));
    assert!(health.age_seconds > Some(deadline(INTERVAL).as_secs_f64() * 10.0));
    // It has all of its time again, and no more.
    let (_, health) = place.look(&woken.after_running(deadline(INTERVAL)));
    assert_eq!(health.down, None);
    let (_, health) = place.look(&woken.after_running(deadline(INTERVAL) * 2));
    assert_eq!(health.kind, Some(FailureKind::Deadline));
    assert_eq!(health.errors[FailureKind::Deadline as usize], 1);
    tell.send(Ok(2)).unwrap();
    until(&place, Duration::ZERO, |sample, _| sample == Some(2));
}

#[test]
fn an_outage_is_told_once_whatever_its_reasons() {
    let (_tell, place) = start();
    let fail = |place: &LatestSample<u32>, reason: &str| {
        let failure = Failure::new(FailureKind::Lost, reason);
        place.end(Err(failure), Some("a GPU".into()), Instant::now());
        place.lock().told
    };
    let elsewhere = Failure::new(FailureKind::Absent, "no library").elsewhere();
    place.end(Err(elsewhere.clone()), None, Instant::now());
    assert!(!place.lock().told, "somebody else says so");
    assert!(fail(&place, "one reason") && fail(&place, "another"));
    place.end(Err(elsewhere), None, Instant::now());
    assert!(place.lock().told, "its end is still to be told");
    let (_, health) = place.look(&clock::now());
    assert_eq!(health.down.as_deref(), Some("no library [a GPU]"));
    place.end(Ok(3), None, Instant::now());
    assert!(!place.lock().told);
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

/// Absent would be ready: a probe that comes before the first round must wait for it.
#[test]
fn what_has_not_been_read_yet_is_not_absent() {
    let (tell, told) = channel::<Result<u32, Failure>>();
    let place = start_only(Told(told));
    let (sample, health) = place.look(&clock::now());
    assert_eq!((sample, health.kind), (None, Some(FailureKind::Deadline)));
    assert_eq!(health.errors, [0; FailureKind::ALL.len()]);
    drop(tell);
}

fn start_only(source: Told) -> Arc<LatestSample<u32>> {
    super::start(source, INTERVAL).unwrap().wait(Instant::now())
}
