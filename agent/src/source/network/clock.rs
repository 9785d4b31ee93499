//! From the kernel's clock to the wall clock.
//!
//! Every time that the kernel side writes is of `bpf_ktime_get_ns`: since the machine was started, without the time that
//! it slept. A time namespace changes what a process is told of that clock (`time_namespaces(7)`) and not what a
//! program is, so nothing here asks for the clock of this process: what the kernel side says it is, at the end of each
//! walk, is compared with the wall clock before and after.

use std::time::{Duration, SystemTime};

/// What two clocks may drift apart.
const STEP: Duration = Duration::from_millis(100);

/// When the kernel's clock was 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(SystemTime);

impl Default for Clock {
    /// Unknown: corrected by the first look.
    fn default() -> Self {
        Self(SystemTime::UNIX_EPOCH)
    }
}

impl Clock {
    /// At a moment between `before` and `after` it was `kernel`. Kept from one look to the next, so that a connection
    /// always began at the same time; set anew where the wall clock was.
    pub(super) fn see(&mut self, before: SystemTime, kernel: Duration, after: SystemTime) {
        let [earliest, latest] = [before.min(after), after]
            .map(|wall| wall.checked_sub(kernel).unwrap_or(SystemTime::UNIX_EPOCH));
        if self.0 + STEP < earliest || latest + STEP < self.0 {
            let between = latest.duration_since(earliest).unwrap_or_default() / 2;
            self.0 = earliest + between;
        }
    }

    /// The wall clock when the kernel's was `kernel`.
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
            clock.see(
                wall,
                Duration::from_secs(kernel),
                wall + Duration::from_millis(took),
            );
            clock.wall(then)
        };
        assert_eq!(seen(at(NOW, 0), 10, 100), at(NOW - 10, 5));
        // A round that was interrupted for long says nothing else.
        assert_eq!(seen(at(NOW, 3), 5_000, 100), at(NOW - 10, 5));
        assert_eq!(seen(at(NOW + 1, 80), 10, 101), at(NOW - 10, 5), "drift");
        assert_eq!(seen(at(NOW + 3602, 0), 0, 102), at(NOW + 3590, 0), "set");
        assert_eq!(seen(at(NOW + 3, 0), 0, 103), at(NOW - 10, 0), "set back");
    }

    #[test]
    fn a_wall_clock_that_goes_back_between_two_looks_is_no_trouble() {
        let mut clock = Clock::default();
        clock.see(at(NOW, 0), Duration::from_secs(10), at(NOW - 100, 0));
        assert_eq!(clock.wall(Duration::from_secs(10)), at(NOW - 100, 0));
        clock.see(at(1, 0), Duration::from_secs(10), at(1, 0));
        assert_eq!(clock.wall(Duration::from_secs(10)), at(1, 0));
    }
}
