//! Framebuffer and BAR1 memory.

use opentelemetry_semantic_conventions::metric::{HW_GPU_MEMORY_LIMIT, HW_GPU_MEMORY_USAGE};

use super::{
    metric::{Dcgm, GpuMetric, MIB, gauge},
    ranges,
};
use crate::model::metric::{Kind, Metric, Reset, otel};

/// dcgm-exporter's name for GPUs and GPU instances.
pub(super) const FB_USED: Dcgm = gauge(
    "DCGM_FI_DEV_FB_USED",
    &[],
    MIB,
    "Framebuffer memory used (in MiB).",
);

/// dcgm-exporter's name for GPUs and GPU instances.
pub(super) const FB_TOTAL: Dcgm = gauge(
    "DCGM_FI_DEV_FB_TOTAL",
    &[],
    MIB,
    "Framebuffer memory total (in MiB).",
);

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_memory_used_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory that is allocated.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel(HW_GPU_MEMORY_USAGE).sum()],
            read: per_gpu!(|reading| reading.memory.and_then(|memory| memory.used)),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[FB_USED],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_memory_total_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "All memory of the GPU.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel(HW_GPU_MEMORY_LIMIT).sum()],
            read: per_gpu!(|reading| reading.memory.and_then(|memory| memory.total)),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[FB_TOTAL],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_memory_free_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory that is free.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.memory.free").sum()],
            read: per_gpu!(|reading| reading.memory.and_then(|memory| memory.free)),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[gauge(
            "DCGM_FI_DEV_FB_FREE",
            &[],
            MIB,
            "Framebuffer memory free (in MiB).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_memory_reserved_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory that the driver and firmware keep.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.memory.reserved").sum()],
            read: per_gpu!(|reading| reading.memory.and_then(|memory| memory.reserved)),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[gauge(
            "DCGM_FI_DEV_FB_RESERVED",
            &[],
            MIB,
            "Framebuffer memory reserved (in MiB).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_bar1_used_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "BAR1 memory, by which others address the GPU's, in use.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetBAR1MemoryInfo",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.bar1.usage").sum()],
            read: per_gpu!(|reading| reading.bar1_used),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[gauge(
            "DCGM_FI_DEV_BAR1_USED",
            &[],
            MIB,
            "BAR1 memory used (in MiB).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_bar1_total_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "All BAR1 memory.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetBAR1MemoryInfo",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.bar1.limit").sum()],
            read: per_gpu!(|reading| reading.bar1_total),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[gauge(
            "DCGM_FI_DEV_BAR1_TOTAL",
            &[],
            MIB,
            "BAR1 memory (in MiB).",
        )],
    },
];
