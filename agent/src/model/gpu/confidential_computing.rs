//! Confidential computing.

use super::{metric::GpuMetric, ranges, series::system};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

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
            read: per_machine!(|system| system.cc_enabled),
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
            read: per_machine!(|system| system.cc_ready),
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
            read: per_machine!(|system| system.cc_devtools),
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
            read: per_machine!(|system| system.cc_protected_pcie),
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
                    emit(&[value], MetricValue::Integer(1));
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
            read: per_gpu!(|reading| reading.protected_used),
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
            read: per_gpu!(|reading| reading.protected_total),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[],
    },
];
