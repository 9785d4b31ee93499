//! Two times at once: how long the agent has run, and what the clock on the wall did. Deadlines go by the first: one
//! that was stopped (SIGSTOP, a frozen cgroup, a machine that slept) cannot have read in the meantime. The age of a
//! sample goes by the second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

/// How often the main thread calls [`now`], so that time goes on while nobody asks.
pub const BEAT: Duration = Duration::from_millis(500);

/// A time without a beat that is longer than this is a pause of the whole agent. Shorter than any deadline less the
/// interval, so that what is not told from running cannot make a source late; longer than a beat by what a busy
/// machine may need.
const PAUSE: Duration = Duration::from_secs(1);

/// A moment, by both times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the machine started, its sleep included (`CLOCK_BOOTTIME`).
    real: Duration,
    /// For which the agent has run.
    ran: Duration,
    /// For which it had when the last pause ended.
    resumed: Duration,
}

impl Moment {
    /// How long ago that was.
    pub fn since(&self, then: &Self) -> Duration {
        self.real.saturating_sub(then.real)
    }

    /// For how long the agent has run since then without a pause: after one everybody has its full time again.
    pub fn ran_since(&self, then: &Self) -> Duration {
        self.ran.saturating_sub(then.ran.max(self.resumed))
    }

    /// The next moment, when the clock on the wall says `real`.
    fn next(self, real: Duration) -> Self {
        let gap = real.saturating_sub(self.real);
        let (ran, resumed) = if gap > PAUSE {
            (self.ran, self.ran)
        } else {
            (self.ran + gap, self.resumed)
        };
        Self {
            real: real.max(self.real),
            ran,
            resumed,
        }
    }
}

/// The time now. Whoever comes first after a pause notices it, be it the beat or somebody who asks.
pub fn now() -> Moment {
    static LAST: Mutex<Option<Moment>> = Mutex::new(None);
    // A panic while holding it cannot leave it half-written.
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    // Read under the lock, so that none is before another. The clock is there on every kernel since 2.6.39.
    let real = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default();
    let first = Moment {
        real,
        ran: Duration::ZERO,
        resumed: Duration::ZERO,
    };
    let now = last.map_or(first, |last| last.next(real));
    *last = Some(now);
    now
}

#[cfg(test)]
impl Moment {
    /// So much later, with a beat all the time.
    #[must_use]
    pub fn after_running(self, time: Duration) -> Self {
        Self {
            real: self.real + time,
            ran: self.ran + time,
            ..self
        }
    }

    /// So much later, without one.
    #[must_use]
    pub fn after_pause(self, time: Duration) -> Self {
        self.next(self.real + PAUSE + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_pause_is_no_time_for_deadlines_and_gives_all_of_it_back() {
        let start = now();
        let later = start.next(start.real + BEAT).next(start.real + 2 * BEAT);
        assert_eq!(later.ran_since(&start), 2 * BEAT);
        assert_eq!(later.since(&start), 2 * BEAT);
        let woken = later.next(later.real + seconds(60));
        assert_eq!(woken.ran_since(&start), Duration::ZERO);
        assert_eq!(woken.ran_since(&later), Duration::ZERO);
        assert_eq!(woken.since(&start), seconds(60) + 2 * BEAT);
        let after = woken.next(woken.real + BEAT);
        assert_eq!(after.ran_since(&start), BEAT);
        assert_eq!(after.ran_since(&woken), BEAT);
    }

    #[test]
    fn a_beat_that_is_late_is_no_pause() {
        let start = now();
        let later = start.next(start.real + PAUSE);
        assert_eq!(later.ran_since(&start), PAUSE);
        assert_eq!(later.next(Duration::ZERO).ran_since(&start), PAUSE);
    }

    #[test]
    fn the_clock_goes_on() {
        let start = now();
        while now().since(&start).is_zero() {}
        assert!(now().ran_since(&start) <= now().since(&start));
    }
}
