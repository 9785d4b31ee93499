//! Judges values by the valid range of their metric.

use crate::sample::gpu::ValidRange;

/// An implausible value of one series.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::source::gpu) struct Implausible {
    /// The NVML call that returned it.
    pub(in crate::source::gpu) call: &'static str,
    /// The metric that it belongs to.
    pub(in crate::source::gpu) metric: &'static str,
    /// The value, in the metric's unit.
    pub(in crate::source::gpu) value: f64,
}

/// A value that converts to `f64`.
pub(super) trait Real: Copy {
    fn real(self) -> f64;
}

impl Real for u64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the ends of a range are far from any real value"
    )]
    fn real(self) -> f64 {
        self as f64
    }
}

impl Real for f64 {
    fn real(self) -> f64 {
        self
    }
}

/// Removes implausible values and collects them.
pub(super) struct Check<'a> {
    range: &'a dyn Fn(&str) -> Option<ValidRange>,
    pub(super) found: Vec<Implausible>,
}

impl<'a> Check<'a> {
    /// A check by the valid range of each metric.
    pub(super) fn new(range: &'a dyn Fn(&str) -> Option<ValidRange>) -> Self {
        Self {
            range,
            found: Vec::new(),
        }
    }

    /// Whether a value is plausible.
    pub(super) fn is_plausible<T: Real>(
        &mut self,
        call: &'static str,
        metric: &'static str,
        value: T,
    ) -> bool {
        let value = value.real();
        let is_plausible = (self.range)(metric).is_none_or(|range| range.contains(value));
        if !is_plausible {
            self.found.push(Implausible {
                call,
                metric,
                value,
            });
        }
        is_plausible
    }

    /// Removes an implausible value.
    pub(super) fn one<T: Real>(
        &mut self,
        call: &'static str,
        metric: &'static str,
        value: &mut Option<T>,
    ) {
        *value = value.filter(|value| self.is_plausible(call, metric, *value));
    }

    /// Removes the implausible values of a list.
    pub(super) fn list<K, T: Real>(
        &mut self,
        call: &'static str,
        metric: &'static str,
        values: &mut Vec<(K, T)>,
    ) {
        values.retain(|(_, value)| self.is_plausible(call, metric, *value));
    }
}
