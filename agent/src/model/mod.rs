//! The catalog: every metric as data, and how to read its series from a snapshot. Exporters, the
//! documentation and the tests of both come from it; no metric is named anywhere else.

mod agent;
pub mod gpu;
mod host;
mod network;
mod opentelemetry;
pub mod print;

pub use opentelemetry::{Instrument, OpenTelemetry};

use std::time::SystemTime;

use crate::sample::{Exponential, Snapshot};

/// One metric.
pub struct Metric {
    /// Its Prometheus name, as it stands on the page; frozen once released.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// What they count, in the code of UCUM.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The labels, in the order in which `read` gives their values.
    pub labels: &'static [&'static str],
    /// The interface that the values come from.
    pub source: &'static str,
    /// When a counter or histogram begins again at 0.
    pub reset: Reset,
    /// What goes out by OTLP.
    pub opentelemetry: &'static [OpenTelemetry],
    /// Gives every series that the snapshot has; what is missing is not given.
    pub read: fn(&Snapshot, Emit<'_>),
}

/// Takes the values of the labels, and the series' value.
pub type Emit<'a> = &'a mut dyn FnMut(&[&str], Value<'_>);

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
    /// Always 1: the labels are what it says.
    Info,
}

impl Kind {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// When a sum begins again at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// It is no sum.
    None,
    /// When counting begins: with the agent, or, where counters are pinned, with one before it.
    Programs,
    /// When the GPU's driver is loaded, which nobody says when it was.
    Driver,
    /// When the agent starts.
    Agent,
}

impl Reset {
    /// As a part of a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Programs => "when counting begins",
            Self::Driver => "when the driver is loaded",
            Self::Agent => "with the agent",
        }
    }

    /// When that was; `None` if it is not known.
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
pub enum Value<'a> {
    /// A whole number.
    Integer(u64),
    /// Any other.
    Real(f64),
    /// Observations by size.
    Histogram(Histogram<'a>),
}

/// A histogram's value.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a> {
    /// Upper bounds of the buckets.
    pub bounds: &'a [f64],
    /// Observations in each bucket (not cumulative), and above all.
    pub buckets: &'a [u64],
    /// Of all observations.
    pub sum: f64,
    /// The same observations in finer buckets, where they are wanted.
    pub fine: Option<&'a Exponential>,
}

/// Every metric, in the order of the page.
pub fn catalog() -> impl Iterator<Item = &'static Metric> {
    let gpu = gpu::metrics().map(|gpu| &gpu.metric);
    let machine = [host::METRICS, agent::METRICS].into_iter().flatten();
    network::METRICS.iter().chain(gpu).chain(machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn is_name(text: &str) -> bool {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(legal)
    }

    #[test]
    fn follows_the_rules_of_prometheus() {
        let mut names = BTreeSet::new();
        for metric in catalog() {
            let name = metric.name;
            assert!(is_name(name) && names.insert(name), "{name}");
            assert_eq!(
                metric.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            assert_eq!(metric.kind == Kind::Info, name.ends_with("_info"), "{name}");
            assert_eq!(
                matches!(metric.kind, Kind::Counter | Kind::Histogram),
                metric.reset != Reset::None,
                "{name}: reset"
            );
            assert!(
                metric.help.ends_with('.') && !metric.help.contains('\n'),
                "{name}: help"
            );
            assert!(
                metric.labels.iter().all(|label| is_name(label)),
                "{name}: labels"
            );
            let stem = name.trim_end_matches("_total");
            for (unit, suffix) in [
                ("By", "_bytes"),
                ("s", "_seconds"),
                ("W", "_watts"),
                ("J", "_joules"),
                ("Cel", "_celsius"),
                ("Hz", "_hertz"),
                ("%", "_percent"),
            ] {
                assert_eq!(metric.unit == unit, stem.ends_with(suffix), "{name}: unit");
            }
        }
    }

    /// Names are a promise: this list only grows.
    #[test]
    fn keeps_the_names_that_were_released() {
        let names: Vec<String> = catalog()
            .map(|metric| format!("{}{{{}}}", metric.name, metric.labels.join(",")))
            .collect();
        let released = include_str!("../../tests/golden/names.txt");
        assert_eq!(names.join("\n") + "\n", released);
    }
}
