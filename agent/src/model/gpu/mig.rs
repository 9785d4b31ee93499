//! The instances of MIG: which there are, and what each uses.

use super::{
    GpuMetric,
    dcgm::{MIB, Scale, gauge},
    each, instances, ranges,
};
use crate::model::{Kind, Metric, Reset, Value, opentelemetry::otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_info",
            kind: Kind::Info,
            unit: "1",
            help: "Which MIG instances there are.",
            labels: &[
                "gpu_id",
                "gpu_instance_id",
                "compute_instance_id",
                "profile",
                "uuid",
            ],
            source: "nvmlDeviceGetMigDeviceHandleByIndex",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for instance in &reading.instances {
                        emit(
                            &[
                                id,
                                &instance.gpu_instance,
                                &instance.compute_instance,
                                &instance.profile,
                                &instance.uuid,
                            ],
                            Value::Integer(1),
                        );
                    }
                });
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_memory_used_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory of the GPU instance that is allocated.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.memory.usage").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| {
                        instance.memory.and_then(|memory| memory.used)
                    });
                });
            },
        },
        range: Some(ranges::MEMORY),
        dcgm: &[gauge(
            "DCGM_FI_DEV_FB_USED",
            &[],
            MIB,
            "Framebuffer memory used (in MiB).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_memory_total_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "All memory of the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.memory.limit").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| {
                        instance.memory.and_then(|memory| memory.total)
                    });
                });
            },
        },
        range: Some(ranges::MEMORY),
        dcgm: &[gauge(
            "DCGM_FI_DEV_FB_TOTAL",
            &[],
            MIB,
            "Framebuffer memory total (in MiB).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_graphics_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which the graphics or compute engine was busy, in the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlGpmMigSampleGet, nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.graphics.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| instance.activity.graphics);
                });
            },
        },
        range: Some(ranges::SHARE),
        dcgm: &[gauge(
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
            &[],
            Scale::Same,
            "Share of the time in which the graphics or compute engine was busy.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_sm_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which SMs had a warp, on average over them, in the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlGpmMigSampleGet, nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.sm.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| instance.activity.sm);
                });
            },
        },
        range: Some(ranges::SHARE),
        dcgm: &[gauge(
            "DCGM_FI_PROF_SM_ACTIVE",
            &[],
            Scale::Same,
            "Share of the time in which SMs had a warp, on average over them.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_sm_occupancy_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Warps on the SMs, of those that fit, in the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlGpmMigSampleGet, nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.sm.occupancy")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| instance.activity.occupancy);
                });
            },
        },
        range: Some(ranges::SHARE),
        dcgm: &[gauge(
            "DCGM_FI_PROF_SM_OCCUPANCY",
            &[],
            Scale::Same,
            "Warps on the SMs, of those that fit.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_tensor_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which tensor cores were busy, in the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlGpmMigSampleGet, nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.tensor.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| instance.activity.tensor);
                });
            },
        },
        range: Some(ranges::SHARE),
        dcgm: &[gauge(
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
            &[],
            Scale::Same,
            "Share of the time in which tensor cores were busy.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_dram_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the memory bandwidth that was used, in the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlGpmMigSampleGet, nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.dram.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    instances(emit, id, reading, |instance| instance.activity.dram);
                });
            },
        },
        range: Some(ranges::SHARE),
        dcgm: &[gauge(
            "DCGM_FI_PROF_DRAM_ACTIVE",
            &[],
            Scale::Same,
            "Share of the memory bandwidth that was used.",
        )],
    },
];
