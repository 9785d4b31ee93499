//! A histogram of times: linear up to 64 us, then 32 buckets to a doubling, so no bucket is wider than 1/32 of its
//! beginning. Unit: microseconds.

/// Times of one kind of one slot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    /// Sum of all samples. Unit: microseconds.
    pub sum: u64,
    /// Samples by [`bucket`].
    pub buckets: [u64; BUCKETS],
}

/// Buckets to a doubling.
const STEPS: u32 = 32;
/// `STEPS` is 2 to the power of this.
const STEP_BITS: u32 = 5;
/// The last bucket begins under 2 to the power of this, 16.8 s, and takes all that is longer.
const TOP_BITS: u32 = 24;
/// How many buckets there are.
pub const BUCKETS: usize = ((TOP_BITS - STEP_BITS + 1) * STEPS) as usize;

/// The bucket of a time.
#[inline]
#[must_use]
pub const fn bucket(microseconds: u32) -> u32 {
    let longest = (1 << TOP_BITS) - 1;
    let time = if microseconds < longest {
        microseconds
    } else {
        longest
    };
    if time < 2 * STEPS {
        return time;
    }
    let shift = u32::BITS - 1 - time.leading_zeros() - STEP_BITS;
    shift * STEPS + (time >> shift)
}

/// The longest time in a bucket. The last bucket also takes everything longer.
#[must_use]
pub const fn longest(bucket: u32) -> u32 {
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, bucket, longest};

    #[test]
    fn times_fall_into_buckets_without_a_gap_and_none_is_wider_than_six_percent() {
        let buckets = u32::try_from(BUCKETS).unwrap();
        let mut shortest = 0;
        for number in 0..buckets {
            let longest = longest(number);
            assert_eq!((bucket(shortest), bucket(longest)), (number, number));
            assert!(f64::from(longest - shortest) <= 0.06 * f64::from(shortest));
            shortest = longest + 1;
        }
        assert_eq!(shortest, 1 << 24);
        assert_eq!(bucket(u32::MAX), buckets - 1);
    }
}
