//! The NVML library.

use super::{metric::GpuMetric, series::system};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "partymeter_nvml_errors_total",
            kind: Kind::Counter,
            unit: "{error}",
            help: "Calls of NVML that failed, but for what a device does not support; with the code implausible: figures that cannot be.",
            labels: &["call", "code"],
            source: "nvmlReturn_t, the agent",
            reset: Reset::Agent,
            opentelemetry: &[otel("partymeter.nvml.errors")],
            read: |snapshot, emit| {
                if let Some(all) = &snapshot.gpus {
                    for (call, code, count) in &all.errors {
                        emit(&[call, code], MetricValue::Integer(*count));
                    }
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "partymeter_fake_gpus",
            kind: Kind::Gauge,
            unit: "1",
            help: "1 if the GPUs are made up by a library for tests; absent otherwise.",
            labels: &[],
            source: "the agent",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.fake_gpus")],
            read: |snapshot, emit| {
                if system(snapshot).is_some_and(|system| system.fake) {
                    emit(&[], MetricValue::Integer(1));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
];
