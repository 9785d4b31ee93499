//! Histograms of times between hosts and of the durations of rounds.

/// A histogram of times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// Samples up to each of [`Times::BOUNDS`], not cumulative; the last bucket has the rest.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
    /// Sum of all samples, in seconds.
    pub sum: f64,
    /// The same samples as an exponential histogram, if OTLP needs one.
    pub fine: Option<Box<Exponential>>,
}

/// An exponential histogram as in OpenTelemetry: bucket `i` has samples above `base^i` and up to `base^(i+1)` seconds, with
/// `base` = 2^(2^-[`Exponential::SCALE`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    /// Samples shorter than [`Exponential::ZERO`].
    pub zero: u64,
    /// Samples in the buckets from [`Exponential::OFFSET`] on.
    pub buckets: [u64; Self::BUCKETS],
}

impl Times {
    /// Upper bounds, in seconds.
    pub const BOUNDS: [f64; 17] = [
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
        0.5, 1.0, 2.5, 5.0, 10.0,
    ];
}

impl Exponential {
    /// Each bucket is 2^(1/8), or 9 %, wide: a little wider than in the kernel.
    pub const SCALE: i32 = 3;
    /// 2^-20 s. Shorter samples count as zero. Unit: seconds.
    pub const ZERO: f64 = 1.0 / 1_048_576.0;
    /// The index of the bucket that begins with [`Exponential::ZERO`].
    pub const OFFSET: i32 = -160;
    /// Up to 16.8 s, the last bound in the kernel, and one bucket for longer samples.
    pub const BUCKETS: usize = 194;

    /// Adds samples of up to `seconds`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "its range is checked"
    )]
    pub fn add(&mut self, seconds: f64, count: u64) {
        if seconds < Self::ZERO {
            self.zero += count;
            return;
        }
        let per_octave = f64::from(1 << Self::SCALE);
        let bucket = (seconds.log2() * per_octave).ceil() - 1.0 - f64::from(Self::OFFSET);
        // The cast saturates, so that infinity falls into the last bucket.
        self.buckets[(bucket as usize).min(Self::BUCKETS - 1)] += count;
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            zero: 0,
            buckets: [0; Self::BUCKETS],
        }
    }
}

/// A histogram of durations of rounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// Observations up to each of [`Durations::BOUNDS`], not cumulative; the last bucket has the rest.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
    /// Sum of all observations, in seconds.
    pub sum: f64,
}

impl Durations {
    /// Upper bounds, in seconds.
    pub const BOUNDS: [f64; 9] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0,
    ];

    /// Adds an observation.
    pub fn observe(&mut self, seconds: f64) {
        let at = Self::BOUNDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(Self::BOUNDS.len());
        self.buckets[at] += 1;
        self.sum += seconds;
    }
}
