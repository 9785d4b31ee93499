//! A snapshot as messages of OTLP, by way of the catalog. Pure, but for what sums need to be remembered of.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, DataPointFlags, ExponentialHistogram,
        ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric as Message,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum as SumMessage,
        exponential_histogram_data_point::Buckets as Positive, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};

use prost::Message as _;

use super::{
    ended::Known,
    resource::resource,
    sums::{Buckets, Sum, Sums, Total},
    words::{SCHEMA, nanoseconds, scope, text},
};
use crate::{
    config::{Config, Histograms, Otlp, Temporality},
    model::{self, Instrument, Metric, OpenTelemetry, Value, catalog},
    sample::{Exponential, Snapshot, gpu::GpuInfo},
};

/// Points in one message: receivers of gRPC take 4 MiB, and a point is some 300 bytes.
const POINTS: usize = 5000;

/// Makes messages of snapshots, one after the other.
pub struct Encoder {
    resource: Resource,
    temporality: Temporality,
    histograms: Histograms,
    sums: Sums,
    /// What was sent until now, so that its end can be told.
    known: Known,
    /// The attributes of every GPU that was ever there, by its id.
    gpus: HashMap<String, Vec<KeyValue>>,
    /// Whether there was a sample of the network yet.
    counted: bool,
}

/// One message of a round.
pub struct Part {
    /// The message.
    pub request: ExportMetricsServiceRequest,
    /// How many points it has.
    pub points: u64,
}

impl Part {
    /// Its length before it is compressed. Unit: bytes.
    pub fn length(&self) -> usize {
        self.request.encoded_len()
    }
}

impl Encoder {
    /// For a configuration, with the resource that it gives.
    pub fn of(config: &Config) -> Self {
        Self::new(resource(config), &config.otlp)
    }

    pub(super) fn new(resource: Resource, otlp: &Otlp) -> Self {
        Self {
            resource,
            temporality: otlp.temporality,
            histograms: otlp.histograms,
            sums: Sums::default(),
            known: Known::default(),
            gpus: HashMap::new(),
            counted: false,
        }
    }

    /// That part of the last round was accepted.
    pub(super) fn accepted(&mut self, part: usize) {
        self.known.accepted(part);
        // Only differences depend on it.
        if self.temporality == Temporality::Delta {
            self.sums.accepted(part);
        }
    }

    /// Everything that the snapshot has.
    pub fn encode(&mut self, snapshot: &Snapshot) -> Vec<Part> {
        self.gpus.extend(gpus(snapshot));
        self.known.begin();
        let time = nanoseconds(snapshot.taken);
        let started = nanoseconds(snapshot.started);
        let mut parts = Parts::default();
        for metric in catalog() {
            let since = metric.reset.since(snapshot);
            // What an agent before this one has counted it has sent: no difference begins before this one.
            let since = since.filter(|since| {
                *since >= snapshot.started
                    || self.counted
                    || self.temporality == Temporality::Cumulative
            });
            let since = since.map(nanoseconds);
            for form in metric.opentelemetry {
                (metric.read)(snapshot, &mut |values, value| {
                    if !form.takes(metric.labels, values) {
                        return;
                    }
                    let value = form.value(metric, value);
                    let instrument = form.instrument(metric);
                    let key = key(metric, form, values);
                    let sum = match instrument {
                        Instrument::Gauge => None,
                        // It has no beginning at 0 that one could miss.
                        Instrument::UpDownCounter => Some(Sum {
                            start: started,
                            total: Total::new(value, false),
                        }),
                        Instrument::Counter | Instrument::Histogram => {
                            let total = Total::new(value, self.is_exponential());
                            let part = parts.current();
                            let next =
                                self.sums
                                    .next(key, total, since, time, self.temporality, part);
                            let Some(sum) = next else { return };
                            Some(sum)
                        }
                    };
                    self.known.saw(key, metric, form, values);
                    let attributes = attributes(metric, form, values, &self.gpus);
                    let data =
                        parts.data(metric, form, self.temporality, value, self.is_exponential());
                    push(data, attributes, time, value, sum);
                });
            }
        }
        self.counted |= snapshot.network.is_some();
        let (temporality, fine) = (self.temporality, self.is_exponential());
        self.known.end(|series| {
            let values: Vec<&str> = series.values.iter().map(|value| &**value).collect();
            let attributes = attributes(series.metric, series.form, &values, &self.gpus);
            let part = parts.current();
            let nothing = Value::Integer(0);
            let data = parts.data(series.metric, series.form, temporality, nothing, fine);
            push_end(data, attributes, time);
            part
        });
        let message = |(metrics, points): (Vec<Message>, usize)| Part {
            points: points as u64,
            request: ExportMetricsServiceRequest {
                resource_metrics: vec![ResourceMetrics {
                    resource: Some(self.resource.clone()),
                    scope_metrics: vec![ScopeMetrics {
                        scope: Some(scope()),
                        metrics,
                        schema_url: SCHEMA.to_owned(),
                    }],
                    schema_url: SCHEMA.to_owned(),
                }],
            },
        };
        parts.done.into_iter().map(message).collect()
    }

    fn is_exponential(&self) -> bool {
        self.histograms == Histograms::Exponential
    }
}

/// What a series is remembered by.
fn key(metric: &Metric, form: &OpenTelemetry, values: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (metric.name, form.name, values).hash(&mut hasher);
    hasher.finish()
}

/// The metrics of a round, in messages that are not too large.
#[derive(Default)]
struct Parts {
    done: Vec<(Vec<Message>, usize)>,
    /// Where a metric is in the last of them.
    places: HashMap<&'static str, usize>,
}

impl Parts {
    /// The number of the message that the next point goes into.
    fn current(&self) -> usize {
        match self.done.last() {
            None => 0,
            Some((_, points)) if *points < POINTS => self.done.len() - 1,
            Some(_) => self.done.len(),
        }
    }

    /// Where the next point of that metric goes; counts it.
    fn data(
        &mut self,
        metric: &Metric,
        form: &OpenTelemetry,
        temporality: Temporality,
        value: Value<'_>,
        exponential: bool,
    ) -> &mut Data {
        let current = self.current();
        if current == self.done.len() {
            self.done.push((Vec::new(), 0));
            self.places.clear();
        }
        let (metrics, points) = &mut self.done[current];
        *points += 1;
        let place = *self.places.entry(form.name).or_insert_with(|| {
            metrics.push(Message {
                name: form.name.to_owned(),
                description: metric.help.to_owned(),
                unit: form.unit_of(metric).to_owned(),
                ..Message::default()
            });
            metrics.len() - 1
        });
        metrics[place]
            .data
            .get_or_insert_with(|| empty(form.instrument(metric), temporality, value, exponential))
    }
}

/// A metric without any point yet.
fn empty(
    instrument: Instrument,
    temporality: Temporality,
    value: Value<'_>,
    exponential: bool,
) -> Data {
    let of_sums = match temporality {
        Temporality::Cumulative => AggregationTemporality::Cumulative,
        Temporality::Delta => AggregationTemporality::Delta,
    };
    match (instrument, value) {
        (Instrument::Gauge, _) => Data::Gauge(Gauge::default()),
        (Instrument::Counter, _) => Data::Sum(SumMessage {
            aggregation_temporality: of_sums.into(),
            is_monotonic: true,
            ..SumMessage::default()
        }),
        (Instrument::UpDownCounter, _) => Data::Sum(SumMessage {
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            ..SumMessage::default()
        }),
        (Instrument::Histogram, Value::Histogram(model::Histogram { fine: Some(_), .. }))
            if exponential =>
        {
            Data::ExponentialHistogram(ExponentialHistogram {
                aggregation_temporality: of_sums.into(),
                ..ExponentialHistogram::default()
            })
        }
        (Instrument::Histogram, _) => Data::Histogram(Histogram {
            aggregation_temporality: of_sums.into(),
            ..Histogram::default()
        }),
    }
}

/// Adds a point.
fn push(data: &mut Data, attributes: Vec<KeyValue>, time: u64, value: Value<'_>, sum: Option<Sum>) {
    let number = |total: &Total| match total {
        Total::Integer(value) => Some(whole(*value)),
        Total::Real(value) => Some(number_data_point::Value::AsDouble(*value)),
        Total::Histogram(_) => None,
    };
    match (data, sum) {
        (Data::Gauge(gauge), _) => gauge.data_points.push(NumberDataPoint {
            attributes,
            time_unix_nano: time,
            value: number(&Total::new(value, false)),
            ..NumberDataPoint::default()
        }),
        (Data::Sum(message), Some(Sum { start, total })) => {
            message.data_points.push(NumberDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                value: number(&total),
                ..NumberDataPoint::default()
            });
        }
        (
            Data::Histogram(message),
            Some(Sum {
                start,
                total: Total::Histogram(buckets),
            }),
        ) => {
            let Value::Histogram(histogram) = value else {
                return;
            };
            message.data_points.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: buckets.count(),
                sum: Some(buckets.sum),
                bucket_counts: buckets.counts,
                explicit_bounds: histogram.bounds.to_vec(),
                ..HistogramDataPoint::default()
            });
        }
        (
            Data::ExponentialHistogram(message),
            Some(Sum {
                start,
                total: Total::Histogram(buckets),
            }),
        ) => message
            .data_points
            .push(exponential(attributes, start, time, &buckets)),
        // A form has one kind of data.
        _ => {}
    }
}

/// Adds the last point of a series: it has no value, and says so.
fn push_end(data: &mut Data, attributes: Vec<KeyValue>, time: u64) {
    let flags = DataPointFlags::NoRecordedValueMask as u32;
    let number = |attributes| NumberDataPoint {
        attributes,
        time_unix_nano: time,
        flags,
        ..NumberDataPoint::default()
    };
    match data {
        Data::Gauge(gauge) => gauge.data_points.push(number(attributes)),
        Data::Sum(sum) => sum.data_points.push(number(attributes)),
        Data::Histogram(histogram) => histogram.data_points.push(HistogramDataPoint {
            attributes,
            time_unix_nano: time,
            flags,
            ..HistogramDataPoint::default()
        }),
        Data::ExponentialHistogram(histogram) => {
            histogram.data_points.push(ExponentialHistogramDataPoint {
                attributes,
                time_unix_nano: time,
                flags,
                ..ExponentialHistogramDataPoint::default()
            });
        }
        Data::Summary(_) => {}
    }
}

/// Whole numbers are signed there: what is larger goes out as the nearest real one.
#[expect(clippy::cast_precision_loss, reason = "the nearest is what is wanted")]
fn whole(value: u64) -> number_data_point::Value {
    match i64::try_from(value) {
        Ok(value) => number_data_point::Value::AsInt(value),
        Err(_too_large) => number_data_point::Value::AsDouble(value as f64),
    }
}

/// A point of an exponential histogram; empty buckets at both ends are left out.
fn exponential(
    attributes: Vec<KeyValue>,
    start: u64,
    time: u64,
    buckets: &Buckets,
) -> ExponentialHistogramDataPoint {
    let (zero, counts) = buckets
        .counts
        .split_first()
        .map_or((0, &[][..]), |(zero, rest)| (*zero, rest));
    let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
    let end = counts
        .iter()
        .rposition(|count| *count > 0)
        .map_or(first, |last| last + 1);
    let offset = i32::try_from(first).unwrap_or(0) + Exponential::OFFSET;
    ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: buckets.count(),
        sum: Some(buckets.sum),
        scale: Exponential::SCALE,
        zero_count: zero,
        zero_threshold: Exponential::ZERO,
        positive: Some(Positive {
            offset,
            bucket_counts: counts[first..end].to_vec(),
        }),
        ..ExponentialHistogramDataPoint::default()
    }
}

/// What is known of every GPU, by its id, as attributes.
fn gpus(snapshot: &Snapshot) -> impl Iterator<Item = (String, Vec<KeyValue>)> {
    let gpus = snapshot.gpus.iter().flat_map(|gpus| &gpus.gpus);
    let describe = |info: Option<&GpuInfo>, id: &str| {
        let name = format!("gpu{id}");
        // Before it was ever open, all that is known is that there is one.
        let uuid = info.map_or(&*name, |info| &info.uuid);
        let mut attributes = vec![text("hw.id", uuid), text("hw.type", "gpu")];
        if let Some(info) = info {
            attributes.push(text("hw.model", &info.model));
            attributes.push(text("hw.vendor", "NVIDIA"));
        }
        attributes.push(text("hw.name", name));
        attributes
    };
    gpus.map(move |gpu| {
        let attributes = describe(gpu.info.as_deref(), &gpu.id);
        (gpu.id.to_string(), attributes)
    })
}

fn attributes(
    metric: &Metric,
    form: &OpenTelemetry,
    values: &[&str],
    gpus: &HashMap<String, Vec<KeyValue>>,
) -> Vec<KeyValue> {
    let constant = form.constant.iter().map(|(name, value)| text(name, *value));
    let mut attributes: Vec<KeyValue> = constant.collect();
    for (label, value) in metric.labels.iter().zip(values) {
        if *label == "gpu_id" {
            attributes.extend(gpus.get(*value).into_iter().flatten().cloned());
        } else if let Some((name, before)) = form.attribute(label) {
            attributes.push(text(name, format!("{before}{value}")));
        }
    }
    attributes
}

#[cfg(test)]
mod tests;
