//! Converts the kernel's clock to wall-clock time.
//!
//! The kernel side takes every time from `bpf_ktime_get_ns`: time since boot, without suspend. A time namespace shifts
//! that clock for a process but not for a BPF program (`time_namespaces(7)`). So this never reads the process's own
//! clock: it compares the kernel side's time at the end of each walk with the wall clock before and after.

use std::time::{Duration, SystemTime};

/// How far the clocks may drift apart before the offset is set anew.
const MAX_DRIFT: Duration = Duration::from_millis(100);

/// The wall-clock time at which the kernel's clock was 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(SystemTime);

impl Default for Clock {
    /// Unknown until the first observation.
    fn default() -> Self {
        Self(SystemTime::UNIX_EPOCH)
    }
}

impl Clock {
    /// The kernel's clock was `kernel` at a moment between `before` and `after`. The offset is kept between
    /// observations, so that a connection's start stays the same; it changes when the wall clock is set.
    pub(super) fn observe(&mut self, before: SystemTime, kernel: Duration, after: SystemTime) {
        let [earliest, latest] = [before.min(after), after]
            .map(|wall| wall.checked_sub(kernel).unwrap_or(SystemTime::UNIX_EPOCH));
        if self.0 + MAX_DRIFT < earliest || latest + MAX_DRIFT < self.0 {
            let between = latest.duration_since(earliest).unwrap_or_default() / 2;
            self.0 = earliest + between;
        }
    }

    /// The wall-clock time of a kernel time.
    pub(super) fn wall(self, kernel: Duration) -> SystemTime {
        self.0 + kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64, milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_time_stays_what_it_was_until_the_wall_clock_is_set() {
        let mut clock = Clock::default();
        let then = Duration::from_secs(90);
        let mut seen = |wall: SystemTime, took, kernel| {
            clock.observe(
                wall,
                Duration::from_secs(kernel),
                wall + Duration::from_millis(took),
            );
            clock.wall(then)
        };
        assert_eq!(seen(at(NOW, 0), 10, 100), at(NOW - 10, 5));
        // A round that was interrupted for long changes nothing.
        assert_eq!(seen(at(NOW, 3), 5_000, 100), at(NOW - 10, 5));
        assert_eq!(seen(at(NOW + 1, 80), 10, 101), at(NOW - 10, 5), "drift");
        assert_eq!(seen(at(NOW + 3602, 0), 0, 102), at(NOW + 3590, 0), "set");
        assert_eq!(seen(at(NOW + 3, 0), 0, 103), at(NOW - 10, 0), "set back");
    }

    #[test]
    fn a_wall_clock_that_goes_back_between_two_looks_is_no_trouble() {
        let mut clock = Clock::default();
        clock.observe(at(NOW, 0), Duration::from_secs(10), at(NOW - 100, 0));
        assert_eq!(clock.wall(Duration::from_secs(10)), at(NOW - 100, 0));
        clock.observe(at(1, 0), Duration::from_secs(10), at(1, 0));
        assert_eq!(clock.wall(Duration::from_secs(10)), at(1, 0));
    }
}
