//! Encodes snapshots as OTLP metrics, one after the other, by the catalog. Pure: `sums` remembers what the receiver
//! has accepted of each sum, `series` which series it knows.

mod attributes;
mod parts;
mod points;
mod proto;
mod series;
mod sums;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{Metric as Message, ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
};
use opentelemetry_semantic_conventions::SCHEMA_URL;
use prost::Message as _;

use self::{
    attributes::{attributes, gpus},
    parts::Parts,
    points::{push, push_end},
    proto::{nanoseconds, scope},
    series::SeriesTracker,
    sums::{Sum, Sums, Total},
};
use super::resource::{self, Attributes};
use crate::{
    config::{Config, Histograms, Otlp, Temporality},
    model::{Instrument, Metric, MetricValue, OpenTelemetry, catalog},
    sample::Snapshot,
};

/// Encodes snapshots, one after the other.
pub struct Encoder {
    resource: Resource,
    temporality: Temporality,
    histograms: Histograms,
    sums: Sums,
    series: SeriesTracker,
    /// The attributes of every GPU that was ever present, by its id: the last point of a lost one needs them.
    gpus: HashMap<String, Vec<KeyValue>>,
    /// Whether an earlier snapshot had a sample of the network.
    counted: bool,
}

/// One message of a snapshot.
pub struct Part {
    /// The message.
    pub request: ExportMetricsServiceRequest,
    /// The number of its data points.
    pub points: u64,
}

impl Part {
    /// The encoded message, before it is compressed.
    pub fn body(&self) -> Bytes {
        self.request.encode_to_vec().into()
    }
}

impl Encoder {
    /// An encoder with the resource and the options of a configuration.
    pub fn of(config: &Config) -> Self {
        Self::new(&resource::attributes(config), &config.otlp)
    }

    pub(super) fn new(resource: &Attributes, otlp: &Otlp) -> Self {
        Self {
            resource: proto::resource(resource),
            temporality: otlp.temporality,
            histograms: otlp.histograms,
            sums: Sums::default(),
            series: SeriesTracker::default(),
            gpus: HashMap::new(),
            counted: false,
        }
    }

    /// The receiver has accepted that message of the last snapshot.
    pub(super) fn accepted(&mut self, part: usize) {
        self.series.accepted(part);
        // Cumulative sums do not depend on it.
        if self.temporality == Temporality::Delta {
            self.sums.accepted(part);
        }
    }

    /// Encodes every series of the snapshot, and the end of those that it no longer has.
    pub fn encode(&mut self, snapshot: &Snapshot) -> Vec<Part> {
        self.gpus.extend(gpus(snapshot));
        self.series.begin();
        let time = nanoseconds(snapshot.taken);
        let started = nanoseconds(snapshot.started);
        let mut parts = Parts::default();
        for metric in catalog() {
            let since = metric.reset.since(snapshot);
            // An earlier agent has sent what it counted: no delta starts before this one.
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
                    self.series.seen(key, metric, form, values);
                    let attributes = attributes(metric, form, values, &self.gpus);
                    let data =
                        parts.data(metric, form, self.temporality, value, self.is_exponential());
                    push(data, attributes, time, value, sum);
                });
            }
        }
        self.counted |= snapshot.network.is_some();
        let (temporality, exponential) = (self.temporality, self.is_exponential());
        self.series.end(|series| {
            let values: Vec<&str> = series.values.iter().map(|value| &**value).collect();
            let attributes = attributes(series.metric, series.form, &values, &self.gpus);
            let part = parts.current();
            let nothing = MetricValue::Integer(0);
            let data = parts.data(
                series.metric,
                series.form,
                temporality,
                nothing,
                exponential,
            );
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
                        schema_url: SCHEMA_URL.to_owned(),
                    }],
                    schema_url: SCHEMA_URL.to_owned(),
                }],
            },
        };
        parts.done.into_iter().map(message).collect()
    }

    fn is_exponential(&self) -> bool {
        self.histograms == Histograms::Exponential
    }
}

/// Identifies a series.
fn key(metric: &Metric, form: &OpenTelemetry, values: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (metric.name, form.name, values).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
