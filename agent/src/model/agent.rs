//! The metrics of the agent itself: they show how reliable the others are.

use std::time::UNIX_EPOCH;

use super::metric::{Histogram, Kind, Metric, MetricValue, Reset, otel};
use crate::sample::{Durations, ExportDropReason, FailureKind};

const START: Reset = Reset::Agent;

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "partymeter_build_info",
        kind: Kind::Info,
        unit: "1",
        help: "The version of the agent.",
        labels: &["version"],
        source: "Cargo.toml",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.build")],
        read: |_, emit| emit(&[env!("CARGO_PKG_VERSION")], MetricValue::Integer(1)),
    },
    Metric {
        name: "partymeter_source_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the source can be read; if not, /-/ready and the log say why.",
        labels: &["source"],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.source.up")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                emit(
                    &[&health.source],
                    MetricValue::Integer(u64::from(health.down.is_none())),
                );
            }
        },
    },
    Metric {
        name: "partymeter_source_duration_seconds",
        kind: Kind::Histogram,
        unit: "s",
        help: "Duration of one round of the source.",
        labels: &["source"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.source.duration")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                let Durations { buckets, sum } = &health.durations;
                let histogram = Histogram {
                    bounds: &Durations::BOUNDS,
                    buckets,
                    sum: *sum,
                    fine: None,
                };
                emit(&[&health.source], MetricValue::Histogram(histogram));
            }
        },
    },
    Metric {
        name: "partymeter_source_errors_total",
        kind: Kind::Counter,
        unit: "{error}",
        help: "Failed rounds of the source, by kind of failure.",
        labels: &["source", "kind"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.source.errors")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                for kind in FailureKind::ALL {
                    let count = health.errors[kind as usize];
                    emit(&[&health.source, kind.name()], MetricValue::Integer(count));
                }
            }
        },
    },
    Metric {
        name: "partymeter_snapshot_age_seconds",
        kind: Kind::Gauge,
        unit: "s",
        help: "Age of the source's newest sample; samples that are too old are not exported.",
        labels: &["source"],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.snapshot.age")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                if let Some(age) = health.age_seconds {
                    emit(&[&health.source], MetricValue::Real(age));
                }
            }
        },
    },
    Metric {
        name: "partymeter_config_reload_success",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the configuration was valid when it was last read; if not, the previous one stays in effect.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.config.reload.success")],
        read: |snapshot, emit| {
            emit(
                &[],
                MetricValue::Integer(u64::from(snapshot.configuration.success)),
            );
        },
    },
    Metric {
        name: "partymeter_config_reload_timestamp_seconds",
        kind: Kind::Gauge,
        unit: "s",
        help: "Time of the last successful load of the configuration, in seconds since 1970.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.config.reload.time")],
        read: |snapshot, emit| {
            let taken = snapshot.configuration.taken.duration_since(UNIX_EPOCH);
            if let Ok(since) = taken {
                emit(&[], MetricValue::Real(since.as_secs_f64()));
            }
        },
    },
    Metric {
        name: "partymeter_otlp_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the OTLP receiver accepted the last message of the signal.",
        labels: &["signal"],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.otlp.up")],
        read: |snapshot, emit| {
            for it in &snapshot.otlp {
                if let Some(up) = it.up {
                    emit(&[it.signal], MetricValue::Integer(u64::from(up)));
                }
            }
        },
    },
    Metric {
        name: "partymeter_otlp_points_sent_total",
        kind: Kind::Counter,
        unit: "{point}",
        help: "Data points, log records or spans that the OTLP receiver accepted.",
        labels: &["signal"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.otlp.points.sent")],
        read: |snapshot, emit| {
            for it in &snapshot.otlp {
                emit(&[it.signal], MetricValue::Integer(it.sent));
            }
        },
    },
    Metric {
        name: "partymeter_otlp_points_dropped_total",
        kind: Kind::Counter,
        unit: "{point}",
        help: "Data points, log records or spans that were not sent or not accepted; a counter loses nothing if a newer point replaces one.",
        labels: &["signal", "reason"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.otlp.points.dropped")],
        read: |snapshot, emit| {
            for it in &snapshot.otlp {
                for (reason, count) in ExportDropReason::ALL.into_iter().zip(it.dropped) {
                    emit(&[it.signal, reason.name()], MetricValue::Integer(count));
                }
            }
        },
    },
    Metric {
        name: "partymeter_ledger_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the ledger can be written; if not, /-/ready and the log say why.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.ledger.up")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&[], MetricValue::Integer(u64::from(it.is_writable)));
            }
        },
    },
    Metric {
        name: "partymeter_ledger_pending",
        kind: Kind::Gauge,
        unit: "{connection}",
        help: "Ended connections that are not yet in a file of the ledger.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.ledger.pending")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&[], MetricValue::Integer(it.pending));
            }
        },
    },
    Metric {
        name: "partymeter_ledger_records_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections written to a file of the ledger.",
        labels: &[],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.ledger.records")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&[], MetricValue::Integer(it.written));
            }
        },
    },
    Metric {
        name: "partymeter_ledger_dropped_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections lost to the ledger: too many were waiting (overflow), or writing failed (write).",
        labels: &["reason"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.ledger.dropped")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&["overflow"], MetricValue::Integer(it.overflow));
                emit(&["write"], MetricValue::Integer(it.failed));
            }
        },
    },
];
