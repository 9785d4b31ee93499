//! The metrics of the agent about itself: they say how far the others are to be believed.

use std::time::UNIX_EPOCH;

use super::{Kind, Metric, Value};
use crate::sample::{Durations, FailureKind};

const START: &str = "with the agent";

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "partymeter_build_info",
        kind: Kind::Info,
        unit: "1",
        help: "The version of the agent.",
        labels: &["version"],
        source: "Cargo.toml",
        reset: "",
        opentelemetry: "partymeter.build",
        read: |_, emit| emit(&[env!("CARGO_PKG_VERSION")], Value::Integer(1)),
    },
    Metric {
        name: "partymeter_source_up",
        kind: Kind::Gauge,
        unit: "1",
        help: "Whether the source reads; why not is on /-/ready and in the log.",
        labels: &["source"],
        source: "the agent",
        reset: "",
        opentelemetry: "partymeter.source.up",
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
        reset: "",
        opentelemetry: "partymeter.source.duration",
        read: |snapshot, emit| {
            for health in &snapshot.sources {
                let Durations { buckets, sum } = &health.durations;
                emit(
                    &[&health.source],
                    Value::Histogram(&Durations::BOUNDS, buckets, *sum),
                );
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
        opentelemetry: "partymeter.source.errors",
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
        reset: "",
        opentelemetry: "partymeter.snapshot.age",
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
        reset: "",
        opentelemetry: "partymeter.config.reload.success",
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
        reset: "",
        opentelemetry: "partymeter.config.reload.time",
        read: |snapshot, emit| {
            let taken = snapshot.configuration.taken.duration_since(UNIX_EPOCH);
            if let Ok(since) = taken {
                emit(&[], Value::Real(since.as_secs_f64()));
            }
        },
    },
];
