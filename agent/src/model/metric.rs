//! What a metric is: its description, its kind, and the values of its series.

use std::time::SystemTime;

use super::opentelemetry::OpenTelemetry;
pub(super) use super::opentelemetry::otel;
use crate::sample::{Exponential, Snapshot};

/// A metric.
pub struct Metric {
    /// The Prometheus name; never changed after a release.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: Kind,
    /// The unit, in UCUM.
    pub unit: &'static str,
    /// The help text.
    pub help: &'static str,
    /// The labels, in the order of the values from `read`.
    pub labels: &'static [&'static str],
    /// Where the values come from.
    pub source: &'static str,
    /// When a counter or histogram starts again at 0.
    pub reset: Reset,
    /// The OpenTelemetry metrics that are exported for it.
    pub opentelemetry: &'static [OpenTelemetry],
    /// Emits every series in the snapshot; missing values are omitted.
    pub read: fn(&Snapshot, Emit<'_>),
}

/// Receives the values of the labels and the value of a series.
pub type Emit<'a> = &'a mut dyn FnMut(&[&str], MetricValue<'_>);

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only increases.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts observations by size.
    Histogram,
    /// Always 1: the labels have the information.
    Info,
}

impl Kind {
    /// The name in Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// When a sum starts again at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// It is not a sum.
    None,
    /// When the programs are loaded: by the agent, or, with pinned counters, by an earlier one.
    Programs,
    /// When the GPU driver is loaded. Driver counters have no known start time.
    Driver,
    /// When the agent starts.
    Agent,
}

impl Reset {
    /// The text in the documentation.
    pub const fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Programs => "when counting begins",
            Self::Driver => "when the driver is loaded",
            Self::Agent => "with the agent",
        }
    }

    /// The time of the last start at 0; `None` if it is unknown.
    pub fn since(self, snapshot: &Snapshot) -> Option<SystemTime> {
        match self {
            Self::Programs => snapshot.network.as_ref()?.since,
            Self::Driver | Self::None => None,
            Self::Agent => Some(snapshot.started),
        }
    }
}

/// The value of one series.
#[derive(Clone, Copy, Debug)]
pub enum MetricValue<'a> {
    /// A whole number.
    Integer(u64),
    /// Any other number.
    Real(f64),
    /// A histogram.
    Histogram(Histogram<'a>),
}

/// A histogram's value.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a> {
    /// Upper bounds of the buckets.
    pub bounds: &'a [f64],
    /// Observations in each bucket, not cumulative; the last bucket has the rest.
    pub buckets: &'a [u64],
    /// The sum of all observations.
    pub sum: f64,
    /// The same observations as an exponential histogram, if OTLP needs one.
    pub fine: Option<&'a Exponential>,
}
