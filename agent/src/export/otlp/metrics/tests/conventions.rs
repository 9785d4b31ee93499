//! The catalog against the semantic conventions.

use super::*;

#[test]
fn a_name_is_one_metric_with_one_unit_and_instrument() {
    let mut seen = BTreeMap::new();
    for metric in catalog() {
        assert!(!metric.opentelemetry.is_empty(), "{}", metric.name);
        for form in metric.opentelemetry {
            let new = (form.unit_of(metric), form.instrument(metric));
            let before = *seen.entry(form.name).or_insert(new);
            assert_eq!(before, new, "{}", form.name);
            for label in metric.labels {
                let known = *label == "gpu_id"
                    || form
                        .attribute(label)
                        .is_some_and(|(name, _)| name.contains('.'));
                let left_out = ["node", "gpu_uuid", "model"].contains(label)
                    || metric.name == "memory_usage_bytes";
                assert!(known || left_out, "{}: {label}", metric.name);
            }
        }
    }
}

/// Names, units, instruments and attributes of the registry of semantic conventions, as far as the catalog uses them.
const REGISTRY: [(&str, &str, Instrument, &[&str]); 17] = {
    use Instrument::{Counter, Gauge, UpDownCounter};
    const GPU: &[&str] = &[
        "hw.id",
        "hw.type",
        "hw.name",
        "hw.model",
        "hw.vendor",
        "hw.gpu.task",
        "network.io.direction",
    ];
    const HW: &[&str] = &[
        "hw.id",
        "hw.type",
        "hw.name",
        "hw.model",
        "hw.vendor",
        "hw.state",
        "error.type",
        "hw.limit_type",
        "hw.sensor_location",
    ];
    [
        ("hw.energy", "J", Counter, HW),
        ("hw.errors", "{error}", Counter, HW),
        ("hw.fan.speed_ratio", "1", Gauge, HW),
        ("hw.gpu.io", "By", Counter, GPU),
        ("hw.gpu.memory.limit", "By", UpDownCounter, GPU),
        ("hw.gpu.memory.usage", "By", UpDownCounter, GPU),
        ("hw.gpu.utilization", "1", Gauge, GPU),
        ("hw.power", "W", Gauge, HW),
        ("hw.status", "1", UpDownCounter, HW),
        ("hw.temperature", "Cel", Gauge, HW),
        ("hw.temperature.limit", "Cel", Gauge, HW),
        ("process.cpu.time", "s", Counter, &[]),
        ("process.memory.usage", "By", UpDownCounter, &[]),
        ("process.memory.virtual", "By", UpDownCounter, &[]),
        ("process.thread.count", "{thread}", UpDownCounter, &[]),
        (
            "process.unix.file_descriptor.count",
            "{file_descriptor}",
            UpDownCounter,
            &[],
        ),
        (
            "system.memory.usage",
            "By",
            UpDownCounter,
            &["system.memory.state"],
        ),
    ]
};

/// Prefixes of the agent's own attributes, and one that goes with every metric.
const OWN: [&str; 3] = ["mpc.", "partymeter.", "network.io.direction"];

#[test]
fn the_catalog_follows_the_semantic_conventions_where_they_exist() {
    let mut used = BTreeSet::new();
    for metric in catalog() {
        for form in metric
            .opentelemetry
            .iter()
            .filter(|form| !form.name.starts_with("partymeter."))
        {
            used.insert(form.name);
            let (unit, instrument) = (form.unit_of(metric), form.instrument(metric));
            if form.name == "system.network.io" {
                assert_eq!((unit, instrument), ("By", Instrument::Counter));
                continue;
            }
            let entry = REGISTRY.iter().find(|(name, ..)| *name == form.name);
            let (_, known_unit, known_instrument, attributes) =
                entry.unwrap_or_else(|| panic!("{}", form.name));
            assert_eq!(
                (unit, instrument),
                (*known_unit, *known_instrument),
                "{}",
                form.name
            );
            let constant = form.constant.iter().map(|(name, _)| *name);
            let labels = metric
                .labels
                .iter()
                .filter_map(|label| form.attribute(label));
            for name in constant.chain(labels.map(|(name, _)| name)) {
                let known =
                    attributes.contains(&name) || OWN.iter().any(|own| name.starts_with(own));
                assert!(known, "{}: {name}", form.name);
            }
        }
    }
    assert_eq!(used.len(), REGISTRY.len() + 1, "{used:?}");
}
