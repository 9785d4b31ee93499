//! A GPU metric: its entry in the catalog, its valid range, and its names in dcgm-exporter.

use crate::{
    model::metric::{Kind, Metric},
    sample::gpu::ValidRange,
};

/// A GPU metric.
pub struct GpuMetric {
    /// The entry in the catalog.
    pub metric: Metric,
    /// The plausible values; NVML's values outside are omitted and counted. `None` if NVML does not supply the value.
    pub range: Option<ValidRange>,
    /// The names in dcgm-exporter: one for each part of the metric that it has.
    pub dcgm: &'static [Dcgm],
}

/// A metric under its name in dcgm-exporter.
pub struct Dcgm {
    /// `DCGM_FI_…`.
    pub name: &'static str,
    /// The labels of the series that it stands for.
    pub only: &'static [(&'static str, &'static str)],
    /// The type that dcgm-exporter gives it.
    pub kind: Kind,
    /// The conversion from our unit.
    pub scale: Scale,
    /// The help text.
    pub help: &'static str,
}

/// A conversion of units.
#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// The same unit.
    Same,
    /// Multiply by this.
    Times(f64),
    /// Divide by this.
    Over(f64),
}

/// Bytes to MiB.
pub(super) const MIB: Scale = Scale::Over(1_048_576.0);
/// Hz to MHz.
pub(super) const MEGA: Scale = Scale::Over(1e6);
/// Seconds to nanoseconds.
pub(super) const NANO: Scale = Scale::Times(1e9);
/// Joules to millijoules.
pub(super) const MILLI: Scale = Scale::Times(1e3);
/// Ratio to percent.
pub(super) const PERCENT: Scale = Scale::Times(100.0);

/// A gauge of dcgm-exporter.
pub(super) const fn gauge(
    name: &'static str,
    only: &'static [(&'static str, &'static str)],
    scale: Scale,
    help: &'static str,
) -> Dcgm {
    Dcgm {
        name,
        only,
        kind: Kind::Gauge,
        scale,
        help,
    }
}

/// A counter of dcgm-exporter.
pub(super) const fn counter(
    name: &'static str,
    only: &'static [(&'static str, &'static str)],
    scale: Scale,
    help: &'static str,
) -> Dcgm {
    Dcgm {
        name,
        only,
        kind: Kind::Counter,
        scale,
        help,
    }
}
