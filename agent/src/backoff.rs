//! Pauses between retries: they double with each failure in a row.

use std::time::Duration;

/// The longest pause that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// A pause that doubles up to a longest one. The caller counts the failures in a row.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses from `first` up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// For a read at an interval: up to a minute, or the interval if that is longer.
    pub fn of_reads(interval: Duration) -> Self {
        Self {
            first: interval.saturating_mul(2),
            longest: interval.max(Duration::from_mins(1)),
        }
    }

    /// The pause after that many failures in a row.
    pub fn pause(self, failures: u32) -> Duration {
        let doubled = 1 << failures.saturating_sub(1).min(16);
        self.first.saturating_mul(doubled).min(self.longest)
    }

    /// As [`Self::pause`] with random jitter, so that many agents do not retry together; at least what the receiver
    /// asked for.
    pub fn jittered(self, failures: u32, asked: Option<Duration>) -> Duration {
        let jitter = 0.5 + fastrand::f64() / 2.0;
        let pause = self.pause(failures).mul_f64(jitter);
        asked.map_or(pause, |asked| asked.min(LONGEST_ASKED) + pause / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::of_reads(SECOND);
        let pauses = [1, 2, 3, 4, 5, 6, u32::MAX].map(|it| backoff.pause(it).as_secs());
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(Backoff::of_reads(2 * MINUTE).pause(5), 2 * MINUTE);
    }

    #[test]
    fn jitter_shortens_by_up_to_half() {
        let backoff = Backoff::new(SECOND, 15 * SECOND);
        for (failures, longest) in (1..).zip([1.0, 2.0, 4.0, 8.0, 15.0, 15.0]) {
            let pause = backoff.jittered(failures, None).as_secs_f64();
            let range = longest / 2.0..=longest;
            assert!(range.contains(&pause), "{pause} of {longest}");
        }
        assert_ne!(backoff.jittered(9, None), backoff.jittered(9, None));
    }

    #[test]
    fn a_pause_is_as_long_as_the_receiver_asks_but_bounded() {
        let backoff = Backoff::new(SECOND, 15 * SECOND);
        assert!(backoff.jittered(1, Some(30 * SECOND)) >= 30 * SECOND);
        let day = backoff.jittered(9, Some(Duration::from_hours(24)));
        assert!(day < LONGEST_ASKED + MINUTE, "{day:?}");
    }
}
