//! The messages against the metrics page of the same snapshot.
#![expect(
    clippy::cast_precision_loss,
    reason = "the figures of these tests are small"
)]

mod conventions;
mod deltas;

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::{
    common::v1::any_value,
    metrics::v1::{
        AggregationTemporality, DataPointFlags, NumberDataPoint, metric::Data, number_data_point,
    },
};

use super::{parts::POINTS, *};
use crate::{
    export::{Format, prometheus},
    sample::Exponential,
};

fn encoder(temporality: Temporality, histograms: Histograms) -> Encoder {
    let mut otlp = crate::config::tests::minimal().otlp;
    (otlp.temporality, otlp.histograms) = (temporality, histograms);
    Encoder::new(&Attributes::default(), &otlp)
}

fn messages(parts: Vec<Part>) -> Vec<Message> {
    let resources = parts
        .into_iter()
        .flat_map(|part| part.request.resource_metrics);
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

fn described(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |it: &KeyValue| match it.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => text,
        other => panic!("{other:?}"),
    };
    let described: BTreeMap<_, _> = attributes
        .iter()
        .map(|it| (it.key.clone(), value(it)))
        .collect();
    assert_eq!(
        described.len(),
        attributes.len(),
        "an attribute twice: {described:?}"
    );
    described
}

fn value(point: &NumberDataPoint) -> f64 {
    match point.value.unwrap() {
        number_data_point::Value::AsInt(value) => value as f64,
        number_data_point::Value::AsDouble(value) => value,
    }
}

/// Every number in the messages, by name and attributes. Histograms give their count and sum.
fn numbers(messages: &[Message]) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    let mut numbers = BTreeMap::new();
    let mut add = |name: String, attributes: &[KeyValue], value: f64| {
        let key = (name, described(attributes));
        assert_eq!(numbers.insert(key.clone(), value), None, "twice: {key:?}");
    };
    for message in messages {
        let name = message.name.clone();
        match message.data.as_ref().unwrap() {
            Data::Gauge(gauge) => {
                gauge
                    .data_points
                    .iter()
                    .for_each(|it| add(name.clone(), &it.attributes, value(it)));
            }
            Data::Sum(sum) => {
                sum.data_points
                    .iter()
                    .for_each(|it| add(name.clone(), &it.attributes, value(it)));
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let counted: u64 = point.bucket_counts.iter().sum();
                    assert_eq!(counted, point.count);
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    add(
                        format!("{name} count"),
                        &point.attributes,
                        point.count as f64,
                    );
                    add(format!("{name} sum"), &point.attributes, point.sum.unwrap());
                }
            }
            other => panic!("{other:?}"),
        }
    }
    numbers
}

/// Every series of the catalog is in the messages with its value (where the catalog says so, with the opposite or a
/// hundredth of it), and nothing else is.
#[test]
fn the_messages_have_the_values_of_the_page() {
    let snapshot = prometheus::tests::complete();
    let messages =
        messages(encoder(Temporality::Cumulative, Histograms::Explicit).encode(&snapshot));
    let numbers = numbers(&messages);
    let gpus = gpus(&snapshot).collect();
    let mut expected = 0;
    for metric in catalog() {
        for form in metric.opentelemetry {
            (metric.read)(&snapshot, &mut |values, value| {
                if !form.takes(metric.labels, values) {
                    return;
                }
                let attributes = described(&attributes(metric, form, values, &gpus));
                let get = |suffix: &str| {
                    numbers
                        .get(&(format!("{}{suffix}", form.name), attributes.clone()))
                        .copied()
                };
                let wanted = match form.value(metric, value) {
                    MetricValue::Integer(value) => vec![("", value as f64)],
                    MetricValue::Real(value) => vec![("", value)],
                    MetricValue::Histogram(histogram) => vec![
                        (" count", histogram.buckets.iter().sum::<u64>() as f64),
                        (" sum", histogram.sum),
                    ],
                };
                for (suffix, wanted) in wanted {
                    expected += 1;
                    assert_eq!(get(suffix), Some(wanted), "{} {values:?}", metric.name);
                }
            });
        }
    }
    assert_eq!(expected, numbers.len());
    // Every series of the page is sent at least once.
    let page = prometheus::encode(snapshot, Format::Classic).unwrap();
    let dcgm = |line: &&str| !line.starts_with("DCGM_");
    let series = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    assert!(numbers.len() >= series.filter(dcgm).count());
}

#[test]
fn sums_have_their_start_and_temporality() {
    let snapshot = prometheus::tests::complete();
    let time = nanoseconds(snapshot.taken);
    let programs = nanoseconds(snapshot.network.as_ref().unwrap().since.unwrap());
    let started = nanoseconds(snapshot.started);
    let messages =
        messages(encoder(Temporality::Cumulative, Histograms::Explicit).encode(&snapshot));
    let sum = |name: &str| match messages
        .iter()
        .find(|it| it.name == name)
        .unwrap()
        .data
        .clone()
    {
        Some(Data::Sum(sum)) => sum,
        other => panic!("{other:?}"),
    };
    let starts = |name: &str| -> BTreeSet<u64> {
        sum(name)
            .data_points
            .iter()
            .map(|it| it.start_time_unix_nano)
            .collect()
    };
    let cumulative: i32 = AggregationTemporality::Cumulative.into();
    assert_eq!(starts("system.network.io"), [programs].into());
    assert_eq!(starts("process.cpu.time"), [started].into());
    // Driver counters have no known start; the agent counts XIDs itself.
    assert_eq!(starts("hw.energy"), [time].into());
    assert_eq!(starts("hw.errors"), [started, time].into());
    assert_eq!(starts("hw.gpu.memory.usage"), [started].into());
    for (name, monotonic) in [("system.network.io", true), ("hw.gpu.memory.usage", false)] {
        assert_eq!(
            (sum(name).is_monotonic, sum(name).aggregation_temporality),
            (monotonic, cumulative)
        );
    }
    let unit = |name: &str| &messages.iter().find(|it| it.name == name).unwrap().unit;
    assert_eq!(
        (
            unit("hw.gpu.utilization").as_str(),
            unit("hw.errors").as_str()
        ),
        ("1", "{error}")
    );
}

#[test]
fn exponential_histograms_hold_the_same_samples() {
    use std::sync::Arc;
    let mut snapshot = prometheus::tests::complete();
    let mut network = snapshot.network.as_deref().unwrap().clone();
    let mut fine = Exponential::default();
    fine.add(0.0, 2);
    fine.add(0.000_001, 1);
    fine.add(0.25, 5);
    fine.add(f64::INFINITY, 3);
    network.traffic[0].latency.as_mut().unwrap().fine = Some(Box::new(fine));
    snapshot.network = Some(Arc::new(network));
    let messages =
        messages(encoder(Temporality::Cumulative, Histograms::Exponential).encode(&snapshot));
    let message = messages
        .iter()
        .find(|it| it.name == "partymeter.mpc.network.latency")
        .unwrap();
    let Some(Data::ExponentialHistogram(histogram)) = &message.data else {
        panic!("{message:?}")
    };
    let point = &histogram.data_points[0];
    let positive = point.positive.as_ref().unwrap();
    assert_eq!((point.count, point.zero_count, point.scale), (11, 2, 3));
    assert_eq!(
        point.zero_count + positive.bucket_counts.iter().sum::<u64>(),
        point.count
    );
    let bounds = |index: usize| {
        let index = positive.offset + i32::try_from(index).unwrap();
        (
            2_f64.powf(f64::from(index) / 8.0),
            2_f64.powf(f64::from(index + 1) / 8.0),
        )
    };
    let filled = positive
        .bucket_counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0);
    let filled: Vec<_> = filled
        .map(|(index, count)| (bounds(index), *count))
        .collect();
    let [((low, high), 1), ((below, quarter), 5), ((long, _), 3)] = filled[..] else {
        panic!("{filled:?}")
    };
    assert!(low < 0.000_001 && high > 0.000_001 && low >= Exponential::ZERO);
    assert!(below < 0.25 && (quarter - 0.25).abs() < 1e-12);
    assert!(long > 16.7);
}

#[test]
fn a_large_snapshot_is_split_and_nothing_is_lost() {
    use crate::sample::Traffic;
    use std::sync::Arc;
    let mut snapshot = prometheus::tests::complete();
    let mut network = snapshot.network.as_deref().unwrap().clone();
    network.traffic.extend((0..2000).map(|pair| Traffic {
        party: format!("party {pair}").into(),
        protocol: "aby3".into(),
        transmit: 1,
        ..Traffic::default()
    }));
    snapshot.network = Some(Arc::new(network));
    let parts = encoder(Temporality::Cumulative, Histograms::Explicit).encode(&snapshot);
    assert!(parts.len() > 2);
    for part in &parts {
        assert!(part.points <= POINTS as u64 && part.body().len() < 4 << 20);
    }
    let total: u64 = parts.iter().map(|part| part.points).sum();
    let histograms_counted_twice =
        |(name, _): &&(String, BTreeMap<String, String>)| !name.ends_with(" sum");
    let numbers = numbers(&messages(parts));
    assert_eq!(
        numbers.keys().filter(histograms_counted_twice).count() as u64,
        total
    );
}

/// The number of last points of a metric's series.
fn ends(parts: Vec<Part>, name: &str) -> usize {
    let found = messages(parts).into_iter().filter(|it| it.name == name);
    let points = found.flat_map(|message| match message.data {
        Some(Data::Gauge(gauge)) => gauge.data_points,
        Some(Data::Sum(sum)) => sum.data_points,
        _ => Vec::new(),
    });
    let flag = DataPointFlags::NoRecordedValueMask as u32;
    points
        .filter(|it| it.flags == flag && it.value.is_none())
        .count()
}

#[test]
fn the_end_of_a_series_is_sent_until_it_is_accepted() {
    let mut encoder = encoder(Temporality::Cumulative, Histograms::Explicit);
    let snapshot = prometheus::tests::complete();
    let all = encoder.encode(&snapshot).len();
    (0..all).for_each(|part| encoder.accepted(part));
    let without = Snapshot {
        host: None,
        ..snapshot
    };
    let name = "process.memory.usage";
    assert_eq!(ends(encoder.encode(&without), name), 1);
    let parts = encoder.encode(&without);
    let count = parts.len();
    assert_eq!(ends(parts, name), 1, "not accepted yet");
    (0..count).for_each(|part| encoder.accepted(part));
    assert_eq!(ends(encoder.encode(&without), name), 0);
}
