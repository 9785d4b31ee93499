//! A limit of a rate.

use std::time::{Duration, Instant};

/// A token bucket: it holds up to `capacity` tokens and gets `refill` of them each `period`.
#[derive(Debug)]
pub struct TokenBucket {
    capacity: u32,
    refill: u32,
    period: Duration,
    tokens: u32,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub const fn new(capacity: u32, refill: u32, period: Duration, now: Instant) -> Self {
        Self {
            capacity,
            refill,
            period,
            tokens: capacity,
            refilled: now,
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let has_token = self.has_token(now);
        self.tokens = self.tokens.saturating_sub(1);
        has_token
    }

    /// Whether there is a token.
    pub fn has_token(&mut self, now: Instant) -> bool {
        while self.tokens < self.capacity
            && now.saturating_duration_since(self.refilled) >= self.period
        {
            self.tokens = (self.tokens + self.refill).min(self.capacity);
            self.refilled += self.period;
        }
        if self.tokens == self.capacity {
            self.refilled = now;
        }
        self.tokens > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1000, 500, Duration::from_secs(1), start);
        let mut passed = |after: u64| {
            let now = start + Duration::from_millis(after);
            (0..10_000)
                .map(|_| u32::from(bucket.take(now)))
                .sum::<u32>()
        };
        assert_eq!(passed(0), 1000);
        assert_eq!(passed(900), 0);
        assert_eq!(passed(1_000), 500);
        assert_eq!(passed(60_000), 1000, "the bucket holds no more");
    }
}
