//! Medians and quartiles. Pure.

/// A sorted set of figures.
pub(super) struct Sample(Vec<f64>);

impl Sample {
    /// Of figures in any order; those that are no number are left out.
    pub(super) fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().filter(|it| !it.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    /// The value below which `share` (0 to 1) of the figures lie, between neighbours by weight; NaN of nothing.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else {
            return f64::NAN;
        };
        let place = share.clamp(0.0, 1.0) * to_f64(last);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of figures"
        )]
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        let weight = place - place.floor();
        self.0[below] * (1.0 - weight) + self.0[above] * weight
    }

    /// The middle.
    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// An interval that holds the true median with 95 % certainty, whatever the distribution: the order statistics
    /// that a binomial variable of probability 1/2 stays between.
    pub(super) fn median_interval(&self) -> (f64, f64) {
        let Some(last) = self.0.len().checked_sub(1) else {
            return (f64::NAN, f64::NAN);
        };
        let count = to_f64(self.0.len());
        // Normal approximation; for six figures and fewer it is the whole range.
        let low = (count / 2.0 - 0.98 * count.sqrt()).floor().max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of figures"
        )]
        let low = (low as usize).min(last);
        (self.0[low], self.0[last - low])
    }
}

/// A count as a figure: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of this size do not occur"
)]
pub(super) fn to_f64(count: usize) -> f64 {
    count as f64
}

/// The same for 64-bit counters.
#[expect(
    clippy::cast_precision_loss,
    reason = "shown with a few digits of them"
)]
pub(super) fn figure(counter: u64) -> f64 {
    counter as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sample = Sample::new([4.0, 1.0, f64::NAN, 2.0, 3.0]);
        let found = [0.0, 0.5, 1.0].map(|share| sample.quantile(share).to_string());
        assert_eq!(found, ["1", "2.5", "4"]);
        assert!(Sample::new([]).median().is_nan());
    }

    #[test]
    fn the_interval_narrows_with_the_number_of_figures() {
        let few = Sample::new([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(few.median_interval(), (1.0, 4.0));
        let many = Sample::new((0..101).map(to_f64));
        assert_eq!(many.median_interval(), (40.0, 60.0));
    }
}
