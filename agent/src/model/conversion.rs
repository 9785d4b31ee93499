//! The instrument, unit and value that a metric of the catalog has in OpenTelemetry.

use super::{
    metric::{Kind, Metric, MetricValue},
    opentelemetry::{Change, OpenTelemetry},
};

/// An instrument of OpenTelemetry, as in its data model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// A sum that only increases.
    Counter,
    /// A sum that increases and decreases: it can be added up over attributes.
    UpDownCounter,
    /// A value that cannot be added up.
    Gauge,
    /// Observations by size.
    Histogram,
}

impl Instrument {
    /// As in the semantic conventions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl OpenTelemetry {
    /// The unit, in UCUM. Ratios are of 1, not of 100. A state or an info has no unit: Prometheus' translation would call a
    /// gauge of unit 1 a ratio.
    pub fn unit_of(&self, metric: &Metric) -> &'static str {
        let is_share = metric.unit == "%" || metric.name.ends_with("_ratio");
        match self.unit.unwrap_or(metric.unit) {
            _ if is_share => "1",
            "1" if self.instrument(metric) == Instrument::Gauge => "",
            unit => unit,
        }
    }

    /// The instrument.
    pub const fn instrument(&self, metric: &Metric) -> Instrument {
        match metric.kind {
            Kind::Counter => Instrument::Counter,
            Kind::Histogram => Instrument::Histogram,
            Kind::Gauge if self.is_sum => Instrument::UpDownCounter,
            Kind::Gauge | Kind::Info => Instrument::Gauge,
        }
    }

    /// The exported value.
    #[expect(
        clippy::cast_precision_loss,
        reason = "percentages are small whole numbers"
    )]
    pub fn value<'a>(&self, metric: &Metric, value: MetricValue<'a>) -> MetricValue<'a> {
        match (value, self.change) {
            (MetricValue::Integer(value), Change::Not) => {
                MetricValue::Integer(1_u64.saturating_sub(value))
            }
            (MetricValue::Integer(value), Change::None) if metric.unit == "%" => {
                MetricValue::Real(value as f64 / 100.0)
            }
            (MetricValue::Real(value), Change::None) if metric.unit == "%" => {
                MetricValue::Real(value / 100.0)
            }
            (value, _) => value,
        }
    }
}
