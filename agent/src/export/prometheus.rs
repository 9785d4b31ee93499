//! Encodes a snapshot as a metrics page, in both text formats, with prometheus-client. That crate writes OpenMetrics. In the
//! classic format, a counter or info has its full name on all lines, so it is passed to the crate with that name, and its
//! samples as those of a gauge, which get no suffix.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
        NoLabelSet, text,
    },
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit},
};

use super::Format;
use crate::{
    model::{Kind, Metric, MetricValue, catalog, gpu},
    sample::Snapshot,
};

/// Encodes a snapshot.
///
/// # Errors
/// Never: writing to memory cannot fail.
pub fn encode(snapshot: Snapshot, format: Format) -> Result<String, fmt::Error> {
    let pairs = snapshot
        .network
        .as_ref()
        .map_or(0, |network| network.traffic.len());
    let gpus = snapshot.gpus.as_ref().map_or(0, |gpus| gpus.gpus.len());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page { snapshot, format }));
    // Enough for names of usual length: growing would copy the page many times.
    let mut page = String::with_capacity(12 * 1024 + 1500 * pairs + 24 * 1024 * gpus);
    match format {
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
        Format::Classic => text::encode_registry(&mut page, &registry)?,
    }
    Ok(page)
}

#[derive(Debug)]
struct Page {
    snapshot: Snapshot,
    format: Format,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        catalog().try_for_each(|metric| self.encode_metric(metric, &mut encoder))?;
        match &self.snapshot.gpus {
            Some(gpus) if gpus.dcgm_names => gpu::families()
                .iter()
                .try_for_each(|family| self.encode_dcgm(family, &mut encoder)),
            _ => Ok(()),
        }
    }
}

impl Page {
    /// Writes a metric of the catalog.
    fn encode_metric(&self, metric: &Metric, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, unit, kind) = descriptor(metric, self.format);
        let descriptor = (name, metric.help, unit, kind);
        self.encode_family(encoder, descriptor, metric.kind, |emit| {
            (metric.read)(&self.snapshot, &mut |values, value| {
                emit(metric.labels, values, value);
            });
        })
    }

    /// Writes a family of dcgm-exporter. In OpenMetrics its counters have no type, since their names do not end in `_total`.
    fn encode_dcgm(
        &self,
        family: &gpu::Family,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let kind = match (family.kind, self.format) {
            (Kind::Counter, Format::OpenMetrics) => MetricType::Unknown,
            (Kind::Counter, Format::Classic) => MetricType::Counter,
            _ => MetricType::Gauge,
        };
        let descriptor = (family.name, family.help, None, kind);
        self.encode_family(encoder, descriptor, Kind::Gauge, |emit| {
            family.read(&self.snapshot, emit);
        })
    }

    /// Writes a family, with the descriptor before its first series; nothing if it has none.
    fn encode_family(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, unit, described_as): (&str, &str, Option<&'static Unit>, MetricType),
        kind: Kind,
        read: impl FnOnce(gpu::EmitLabelled<'_>),
    ) -> fmt::Result {
        let mut encoder = Some(encoder);
        let mut family = None;
        let mut result = Ok(());
        read(&mut |names, values, value| {
            if let Some(encoder) = encoder.take() {
                match encoder.encode_descriptor(name, help, unit, described_as) {
                    Ok(described) => family = Some(described),
                    Err(error) => result = Err(error),
                }
            }
            if let (Ok(()), Some(family)) = (result, &mut family) {
                let labels = Labels(names, values);
                result = encode_series(family, kind, self.format, &labels, value);
            }
        });
        result
    }
}

/// The name, unit and type in the descriptor of a metric. In OpenMetrics, the encoder adds the unit and the suffix of the
/// type to the name.
fn descriptor(
    metric: &Metric,
    format: Format,
) -> (&'static str, Option<&'static Unit>, MetricType) {
    let name = metric.name;
    match format {
        Format::Classic => {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge | Kind::Info => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            (name, None, kind)
        }
        Format::OpenMetrics => {
            let (kind, suffix) = match metric.kind {
                Kind::Counter => (MetricType::Counter, "_total"),
                Kind::Gauge => (MetricType::Gauge, ""),
                Kind::Histogram => (MetricType::Histogram, ""),
                Kind::Info => (MetricType::Info, "_info"),
            };
            let family = name.strip_suffix(suffix).unwrap_or(name);
            let units: [(&Unit, &str); 2] =
                [(&Unit::Bytes, "_bytes"), (&Unit::Seconds, "_seconds")];
            let with_unit = |(unit, suffix)| Some((family.strip_suffix(suffix)?, Some(unit), kind));
            units
                .into_iter()
                .find_map(with_unit)
                .unwrap_or((family, None, kind))
        }
    }
}

fn encode_series(
    family: &mut MetricEncoder<'_>,
    kind: Kind,
    format: Format,
    labels: &Labels<'_>,
    value: MetricValue<'_>,
) -> fmt::Result {
    if kind == Kind::Info && format == Format::OpenMetrics {
        return family.encode_info(labels);
    }
    if labels.0.is_empty() {
        // A family would get an empty pair of braces.
        return encode_value(family, kind, format, value);
    }
    encode_value(&mut family.encode_family(labels)?, kind, format, value)
}

fn encode_value(
    series: &mut MetricEncoder<'_>,
    kind: Kind,
    format: Format,
    value: MetricValue<'_>,
) -> fmt::Result {
    let none = None::<&Exemplar<NoLabelSet, f64>>;
    let counts = kind == Kind::Counter && format == Format::OpenMetrics;
    match value {
        MetricValue::Integer(value) if counts => series.encode_counter(&value, none),
        MetricValue::Real(value) if counts => series.encode_counter(&value, none),
        MetricValue::Integer(value) => series.encode_gauge(&value),
        MetricValue::Real(value) => series.encode_gauge(&value),
        MetricValue::Histogram(histogram) => {
            let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
            let counts = histogram.buckets.iter().copied();
            let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
            let count = histogram.buckets.iter().sum();
            series.encode_histogram::<NoLabelSet>(histogram.sum, count, &buckets, None)
        }
    }
}

#[derive(Debug)]
struct Labels<'a>(&'a [&'a str], &'a [&'a str]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0
            .iter()
            .zip(self.1)
            .try_for_each(|(name, value)| (*name, *value).encode(encoder.encode_label()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
