//! The catalog: every metric as data, with a function that reads its series from a snapshot. The exporters and the
//! documentation are generated from it.

mod agent;
mod conversion;
pub mod gpu;
mod host;
mod metric;
mod network;
mod opentelemetry;
pub mod print;

pub use self::{
    conversion::Instrument,
    metric::{Emit, Histogram, Kind, Metric, MetricValue, Reset},
    opentelemetry::OpenTelemetry,
};

/// Every metric, in the order of the page.
pub fn catalog() -> impl Iterator<Item = &'static Metric> {
    let gpu = gpu::metrics().map(|gpu| &gpu.metric);
    let machine = [host::METRICS, agent::METRICS].into_iter().flatten();
    network::metrics().chain(gpu).chain(machine)
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

    /// A released name never changes or disappears.
    #[test]
    fn released_names_stay() {
        let names: Vec<String> = catalog()
            .map(|metric| format!("{}{{{}}}", metric.name, metric.labels.join(",")))
            .collect();
        let released = include_str!("../../tests/golden/names.txt");
        assert_eq!(names.join("\n") + "\n", released);
    }
}
