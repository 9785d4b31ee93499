//! The metrics of the agent about itself: they say how far the others are to be believed.

use std::time::UNIX_EPOCH;

use super::{Histogram, Kind, Metric, Reset, Value, opentelemetry::otel};
use crate::sample::{Dropped, Durations, FailureKind};

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
        read: |_, emit| emit(&[env!("CARGO_PKG_VERSION")], Value::Integer(1)),
    },
    Metric {
        name: "partymeter_source_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the source reads; why not is on /-/ready and in the log.",
        labels: &["source"],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.source.up")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                emit(
                    &[&health.source],
                    Value::Integer(u64::from(health.down.is_none())),
                );
            }
        },
    },
    Metric {
        name: "partymeter_source_duration_seconds",
        kind: Kind::Histogram,
        unit: "s",
        help: "How long one round of the source took.",
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
                emit(&[&health.source], Value::Histogram(histogram));
            }
        },
    },
    Metric {
        name: "partymeter_source_errors_total",
        kind: Kind::Counter,
        unit: "{error}",
        help: "Rounds of the source that failed, by the kind of failure.",
        labels: &["source", "kind"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.source.errors")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                for kind in FailureKind::ALL {
                    let count = health.errors[kind as usize];
                    emit(&[&health.source, kind.name()], Value::Integer(count));
                }
            }
        },
    },
    Metric {
        name: "partymeter_snapshot_age_seconds",
        kind: Kind::Gauge,
        unit: "s",
        help: "Age of the newest sample of the source; what is too old is not shown.",
        labels: &["source"],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.snapshot.age")],
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                if let Some(age) = health.age_seconds {
                    emit(&[&health.source], Value::Real(age));
                }
            }
        },
    },
    Metric {
        name: "partymeter_config_reload_success",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the configuration was right when it was last read; if not, the one before goes on.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.config.reload.success")],
        read: |snapshot, emit| {
            emit(
                &[],
                Value::Integer(u64::from(snapshot.configuration.success)),
            );
        },
    },
    Metric {
        name: "partymeter_config_reload_timestamp_seconds",
        kind: Kind::Gauge,
        unit: "s",
        help: "When the configuration was last taken in, in seconds since 1970.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.config.reload.time")],
        read: |snapshot, emit| {
            let taken = snapshot.configuration.taken.duration_since(UNIX_EPOCH);
            if let Ok(since) = taken {
                emit(&[], Value::Real(since.as_secs_f64()));
            }
        },
    },
    Metric {
        name: "partymeter_otlp_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the receiver of OTLP took the last message of the signal.",
        labels: &["signal"],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.otlp.up")],
        read: |snapshot, emit| {
            for it in &snapshot.otlp {
                if let Some(up) = it.up {
                    emit(&[it.signal], Value::Integer(u64::from(up)));
                }
            }
        },
    },
    Metric {
        name: "partymeter_otlp_points_sent_total",
        kind: Kind::Counter,
        unit: "{point}",
        help: "Data points, log records or spans that the receiver of OTLP has taken.",
        labels: &["signal"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.otlp.points.sent")],
        read: |snapshot, emit| {
            for it in &snapshot.otlp {
                emit(&[it.signal], Value::Integer(it.sent));
            }
        },
    },
    Metric {
        name: "partymeter_otlp_points_dropped_total",
        kind: Kind::Counter,
        unit: "{point}",
        help: "Data points, log records or spans that were not sent or not taken; of points that are replaced by newer ones no counter loses anything.",
        labels: &["signal", "reason"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.otlp.points.dropped")],
        read: |snapshot, emit| {
            for it in &snapshot.otlp {
                for (reason, count) in Dropped::ALL.into_iter().zip(it.dropped) {
                    emit(&[it.signal, reason.name()], Value::Integer(count));
                }
            }
        },
    },
    Metric {
        name: "partymeter_ledger_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the ledger can be written; why not is on /-/ready and in the log.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.ledger.up")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&[], Value::Integer(u64::from(it.is_writable)));
            }
        },
    },
    Metric {
        name: "partymeter_ledger_pending",
        kind: Kind::Gauge,
        unit: "{connection}",
        help: "Connections that have ended and are not yet in a file of the ledger.",
        labels: &[],
        source: "the agent",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.ledger.pending")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&[], Value::Integer(it.pending));
            }
        },
    },
    Metric {
        name: "partymeter_ledger_records_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections that were written to a file of the ledger.",
        labels: &[],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.ledger.records")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&[], Value::Integer(it.written));
            }
        },
    },
    Metric {
        name: "partymeter_ledger_dropped_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections that are lost to the ledger: too many waited to be written (overflow), or they could not be (write).",
        labels: &["reason"],
        source: "the agent",
        reset: START,
        opentelemetry: &[otel("partymeter.ledger.dropped")],
        read: |snapshot, emit| {
            if let Some(it) = &snapshot.ledger {
                emit(&["overflow"], Value::Integer(it.overflow));
                emit(&["write"], Value::Integer(it.failed));
            }
        },
    },
];
