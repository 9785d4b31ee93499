//! The pause before a retry: it doubles with each failure, with random jitter, so that many agents do not retry together.

use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause, unless the receiver asks for more.
const LONGEST: Duration = Duration::from_mins(1);

/// The longest pause that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// Counts failures in a row.
pub(super) struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Backoff {
    /// Pauses of up to `longest`, or a minute if that is shorter.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            failures: 0,
            longest: longest.min(LONGEST),
        }
    }

    /// Starts again with the shortest pause.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure; at least what the receiver asked for.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let jitter = 0.5 + fastrand::f64() / 2.0;
        let pause = doubled.min(self.longest).mul_f64(jitter);
        asked.map_or(pause, |asked| asked.min(LONGEST_ASKED) + pause / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_with_jitter() {
        let mut backoff = Backoff::new(Duration::from_secs(15));
        let mut pause = || backoff.pause(None).as_secs_f64();
        for longest in [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0] {
            let pause = pause();
            assert!(
                (longest / 2.0..=longest).contains(&pause),
                "{pause} of {longest}"
            );
        }
        assert!(pause().to_bits() != pause().to_bits());
    }

    #[test]
    fn a_pause_is_as_long_as_the_receiver_asks_but_bounded() {
        let mut backoff = Backoff::new(Duration::from_secs(15));
        assert!(backoff.pause(Some(Duration::from_secs(30))) >= Duration::from_secs(30));
        let day = backoff.pause(Some(Duration::from_hours(24)));
        assert!(day < LONGEST_ASKED + Duration::from_mins(1), "{day:?}");
    }
}
