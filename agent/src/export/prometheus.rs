//! A snapshot as a metrics page, in both text formats: OpenMetrics 1.0, which prometheus-client writes, and
//! the classic format 0.0.4, which differs from it in a few lines and is what scrapers get that do not ask.

use std::fmt::{self, Write};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet, text,
    },
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use crate::{
    model::{Kind, Metric, Value, catalog},
    sample::Snapshot,
};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Classic,
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
}

impl Format {
    /// For the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the header `Accept` asks for most: the classic format where it leaves the choice.
    pub fn negotiate(accept: &str) -> Self {
        let wish = |wanted: &str| {
            let quality = |range: &str| {
                let mut parts = range.split(';').map(str::trim);
                (parts.next()? == wanted).then(|| {
                    parts
                        .find_map(|part| part.strip_prefix("q="))
                        .map_or(1.0, |q| q.parse().unwrap_or(0.0))
                })
            };
            accept.split(',').filter_map(quality).fold(0.0, f64::max)
        };
        let open = wish("application/openmetrics-text");
        if open > 0.0 && open >= wish("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }
}

/// The page of a snapshot.
///
/// # Errors
/// None that writing to memory can have; the encoder's interface wants one.
pub fn encode(snapshot: Snapshot, format: Format) -> Result<String, fmt::Error> {
    let series = snapshot
        .network
        .as_ref()
        .map_or(0, |network| network.traffic.len());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(snapshot)));
    let mut page = String::with_capacity(8192 + 400 * series);
    match format {
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
        Format::Classic => text::encode_registry(&mut ToClassic::new(&mut page), &registry)?,
    }
    Ok(page)
}

#[derive(Debug)]
struct Page(Snapshot);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        catalog().try_for_each(|metric| encode_metric(metric, &self.0, &mut encoder))
    }
}

/// Writes a metric, if it has any series now.
fn encode_metric(
    metric: &Metric,
    snapshot: &Snapshot,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    // The encoder adds these suffixes by itself.
    let (kind, suffix) = match metric.kind {
        Kind::Counter => (MetricType::Counter, "_total"),
        Kind::Gauge => (MetricType::Gauge, ""),
        Kind::Histogram => (MetricType::Histogram, ""),
        Kind::Info => (MetricType::Info, "_info"),
    };
    let family = metric.name.strip_suffix(suffix).unwrap_or(metric.name);
    let mut has_series = false;
    (metric.read)(snapshot, &mut |_, _| has_series = true);
    if !has_series {
        return Ok(());
    }
    let help = metric.help.trim_end_matches('.');
    let mut family = encoder.encode_descriptor(family, help, None, kind)?;
    let mut result = Ok(());
    (metric.read)(snapshot, &mut |values, value| {
        let labels = Labels(metric.labels, values);
        let mut encode = || match metric.kind {
            Kind::Info => family.encode_info(&labels),
            // Of a family of one the encoder would write an empty pair of braces.
            kind if metric.labels.is_empty() => encode_value(&mut family, kind, value),
            kind => encode_value(&mut family.encode_family(&labels)?, kind, value),
        };
        if result.is_ok() {
            result = encode();
        }
    });
    result
}

fn encode_value(series: &mut MetricEncoder<'_>, kind: Kind, value: Value<'_>) -> fmt::Result {
    let none = None::<&Exemplar<NoLabelSet, f64>>;
    match (kind, value) {
        (Kind::Counter, Value::Integer(value)) => series.encode_counter(&value, none),
        (Kind::Counter, Value::Real(value)) => series.encode_counter(&value, none),
        (_, Value::Integer(value)) => series.encode_gauge(&value),
        (_, Value::Real(value)) => series.encode_gauge(&value),
        (_, Value::Histogram(bounds, counts, sum)) => {
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let count = counts.iter().sum();
            series.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
    }
}

#[derive(Debug)]
struct Labels<'a>(&'static [&'static str], &'a [&'a str]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::EncodeLabel as _;
        self.0
            .iter()
            .zip(self.1)
            .try_for_each(|(name, value)| (*name, *value).encode(encoder.encode_label()))
    }
}

/// Turns OpenMetrics into the classic format on its way: there a counter's and an info's lines of HELP and
/// TYPE bear the name of its samples, and `info` is no type. Only these lines are held back; samples go
/// through as they come.
struct ToClassic<'a> {
    page: &'a mut String,
    /// A line that has begun with `#` and not ended; else empty.
    comment: String,
    line_began: bool,
    /// The HELP of the metric, until its TYPE tells the name.
    help: String,
}

impl<'a> ToClassic<'a> {
    fn new(page: &'a mut String) -> Self {
        Self {
            page,
            comment: String::new(),
            line_began: false,
            help: String::new(),
        }
    }

    fn end_of_comment(&mut self) {
        let comment = std::mem::take(&mut self.comment);
        if let Some(help) = comment.strip_prefix("# HELP ") {
            help.clone_into(&mut self.help);
        } else if let Some((family, kind)) = comment
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.rsplit_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            let text = self.help.strip_prefix(family).unwrap_or_default();
            let lines = [
                "# HELP ",
                family,
                suffix,
                text,
                "\n# TYPE ",
                family,
                suffix,
                " ",
                kind,
                "\n",
            ];
            self.page.extend(lines);
        }
    }
}

impl Write for ToClassic<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            if !self.line_began && piece.starts_with('#') {
                self.comment.push('#');
            }
            let ends = piece.ends_with('\n');
            if self.comment.is_empty() {
                self.page.push_str(piece);
            } else {
                let skip = usize::from(!self.line_began);
                self.comment.push_str(piece[skip..].trim_end_matches('\n'));
                if ends {
                    self.end_of_comment();
                }
            }
            self.line_began = !ends;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_asked_for_most() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        for classic in [
            "",
            "*/*",
            "text/html",
            "text/plain, application/openmetrics-text;q=0.9",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=much",
        ] {
            assert_eq!(Format::negotiate(classic), Format::Classic, "{classic:?}");
        }
    }

    #[test]
    fn classic_lines_come_out_whole_however_they_are_written() {
        let open = "# HELP a_b Says # this\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{x=\"#\"} 1\n\
                    # HELP c d\n# TYPE c info\nc_info{v=\"1\"} 1\n# HELP e f\n# TYPE e gauge\ne 2\n";
        let classic = "# HELP a_b_total Says # this\n# TYPE a_b_total counter\na_b_total{x=\"#\"} 1\n\
                       # HELP c_info d\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n\
                       # HELP e f\n# TYPE e gauge\ne 2\n";
        for length in 1..open.len() {
            let mut page = String::new();
            let mut writer = ToClassic::new(&mut page);
            for at in (0..open.len()).step_by(length) {
                writer
                    .write_str(&open[at..open.len().min(at + length)])
                    .unwrap();
            }
            assert_eq!(page, classic, "in pieces of {length}");
        }
    }
}
