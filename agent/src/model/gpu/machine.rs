//! What holds for all GPUs of the machine: confidential computing, the library.

use super::{GpuMetric, START, each, one, ranges, system};
use crate::model::{Kind, Metric, Reset, Value, opentelemetry::otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_enabled",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether confidential computing is switched on.",
            labels: &[],
            source: "nvmlSystemGetConfComputeSettings",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.enabled")],
            read: |snapshot, emit| {
                if let Some(value) = system(snapshot).and_then(|system| system.cc_enabled) {
                    emit(&[], Value::Integer(u64::from(value)));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_ready",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether the GPUs accept work, which software says after attestation: NVML has no \"attested\".",
            labels: &[],
            source: "nvmlSystemGetConfComputeGpusReadyState",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.ready")],
            read: |snapshot, emit| {
                if let Some(value) = system(snapshot).and_then(|system| system.cc_ready) {
                    emit(&[], Value::Integer(u64::from(value)));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_devtools",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether developer tools are allowed, and so nothing is protected.",
            labels: &[],
            source: "nvmlSystemGetConfComputeSettings",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.devtools")],
            read: |snapshot, emit| {
                if let Some(value) = system(snapshot).and_then(|system| system.cc_devtools) {
                    emit(&[], Value::Integer(u64::from(value)));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_protected_pcie",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether several GPUs are protected together over PCIe.",
            labels: &[],
            source: "nvmlSystemGetConfComputeSettings",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.protected_pcie")],
            read: |snapshot, emit| {
                if let Some(value) = system(snapshot).and_then(|system| system.cc_protected_pcie) {
                    emit(&[], Value::Integer(u64::from(value)));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_environment_info",
            kind: Kind::Info,
            unit: "1",
            help: "The environment of confidential computing: production, simulation or unavailable.",
            labels: &["environment"],
            source: "nvmlSystemGetConfComputeSettings",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.environment")],
            read: |snapshot, emit| {
                if let Some(value) = system(snapshot).and_then(|system| system.cc_environment) {
                    emit(&[value], Value::Integer(1));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_protected_memory_used_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Protected memory that is allocated.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetConfComputeProtectedMemoryUsage",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.protected_memory.usage").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.protected_used);
                });
            },
        },
        range: Some(ranges::MEMORY),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_cc_protected_memory_total_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory that confidential computing protects.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetConfComputeProtectedMemoryUsage, nvmlDeviceGetConfComputeMemSizeInfo",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.cc.protected_memory.limit").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.protected_total);
                });
            },
        },
        range: Some(ranges::MEMORY),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "partymeter_nvml_errors_total",
            kind: Kind::Counter,
            unit: "{error}",
            help: "Calls of NVML that failed, but for what a device does not support; with the code implausible: figures that cannot be.",
            labels: &["call", "code"],
            source: "nvmlReturn_t, the agent",
            reset: START,
            opentelemetry: &[otel("partymeter.nvml.errors")],
            read: |snapshot, emit| {
                if let Some(all) = &snapshot.gpus {
                    for (call, code, count) in &all.errors {
                        emit(&[call, code], Value::Integer(*count));
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
                    emit(&[], Value::Integer(1));
                }
            },
        },
        range: None,
        dcgm: &[],
    },
];
