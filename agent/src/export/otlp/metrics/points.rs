//! Data points in protobuf.

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, DataPointFlags, ExponentialHistogram,
        ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, NumberDataPoint,
        Sum as SumMessage, exponential_histogram_data_point::Buckets as Positive, metric::Data,
        number_data_point,
    },
};

use super::sums::{Buckets, Sum, Total};
use crate::{
    config::Temporality,
    model::{self, Instrument, MetricValue},
    sample::Exponential,
};

/// The data of a metric, without points.
pub(super) fn empty(
    instrument: Instrument,
    temporality: Temporality,
    value: MetricValue<'_>,
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
        (Instrument::Histogram, MetricValue::Histogram(model::Histogram { fine: Some(_), .. }))
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
pub(super) fn push(
    data: &mut Data,
    attributes: Vec<KeyValue>,
    time: u64,
    value: MetricValue<'_>,
    sum: Option<Sum>,
) {
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
            let MetricValue::Histogram(histogram) = value else {
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
        // `empty` and the sum follow the same instrument.
        _ => {}
    }
}

/// Adds the last point of a series: without a value, and with the flag that says so.
pub(super) fn push_end(data: &mut Data, attributes: Vec<KeyValue>, time: u64) {
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

/// OTLP has signed integers only: larger values become the nearest double.
#[expect(clippy::cast_precision_loss, reason = "rounding is intended")]
fn whole(value: u64) -> number_data_point::Value {
    match i64::try_from(value) {
        Ok(value) => number_data_point::Value::AsInt(value),
        Err(_too_large) => number_data_point::Value::AsDouble(value as f64),
    }
}

/// A point of an exponential histogram, without the empty buckets at both ends.
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
