//! How busy the parts of the GPUs and the instances of MIG are, and who uses them.

use super::{
    GpuMetric,
    dcgm::{MIB, Scale, gauge},
    each, instances, list, one,
};
use crate::model::{Kind, Metric, Reset, Value, opentelemetry::otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_graphics_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which the graphics or compute engine was busy.",
            labels: &["gpu_id"],
            source: "nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.graphics.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.activity.graphics);
                });
            },
        },
        dcgm: &[gauge(
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
            &[],
            Scale::Same,
            "Share of the time in which the graphics or compute engine was busy.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_sm_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which SMs had a warp, on average over them.",
            labels: &["gpu_id"],
            source: "nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.sm.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.activity.sm);
                });
            },
        },
        dcgm: &[gauge(
            "DCGM_FI_PROF_SM_ACTIVE",
            &[],
            Scale::Same,
            "Share of the time in which SMs had a warp, on average over them.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_sm_occupancy_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Warps on the SMs, of those that fit.",
            labels: &["gpu_id"],
            source: "nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.sm.occupancy")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.activity.occupancy);
                });
            },
        },
        dcgm: &[gauge(
            "DCGM_FI_PROF_SM_OCCUPANCY",
            &[],
            Scale::Same,
            "Warps on the SMs, of those that fit.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_tensor_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which tensor cores were busy.",
            labels: &["gpu_id"],
            source: "nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.tensor.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.activity.tensor);
                });
            },
        },
        dcgm: &[gauge(
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
            &[],
            Scale::Same,
            "Share of the time in which tensor cores were busy.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_dram_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the memory bandwidth that was used.",
            labels: &["gpu_id"],
            source: "nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.dram.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.activity.dram);
                });
            },
        },
        dcgm: &[gauge(
            "DCGM_FI_PROF_DRAM_ACTIVE",
            &[],
            Scale::Same,
            "Share of the memory bandwidth that was used.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_pipe_active_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Share of the time in which the pipe was busy.",
            labels: &["gpu_id", "pipe"],
            source: "nvmlGpmMetricsGet",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.pipe.active")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.activity.pipes);
                });
            },
        },
        dcgm: &[
            gauge(
                "DCGM_FI_PROF_PIPE_FP64_ACTIVE",
                &[("pipe", "fp64")],
                Scale::Same,
                "Share of the time in which the fp64 pipe was busy.",
            ),
            gauge(
                "DCGM_FI_PROF_PIPE_FP32_ACTIVE",
                &[("pipe", "fp32")],
                Scale::Same,
                "Share of the time in which the fp32 pipe was busy.",
            ),
            gauge(
                "DCGM_FI_PROF_PIPE_FP16_ACTIVE",
                &[("pipe", "fp16")],
                Scale::Same,
                "Share of the time in which the fp16 pipe was busy.",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_process_memory_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory of the GPU that the process has; those beyond 64 are summed up as other.",
            labels: &["gpu_id", "pid", "process", "container"],
            source: "nvmlDeviceGetComputeRunningProcesses_v3, nvmlDeviceGetGraphicsRunningProcesses_v3",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.process.memory").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for process in &reading.processes {
                        if let Some(memory) = process.memory {
                            emit(
                                &[id, &process.pid, &process.command, &process.container],
                                Value::Integer(memory),
                            );
                        }
                    }
                });
            },
        },
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_process_sm_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the SMs that the process used in its last sample.",
            labels: &["gpu_id", "pid", "process", "container"],
            source: "nvmlDeviceGetProcessUtilization",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.process.sm_utilization")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for process in &reading.processes {
                        if let Some(sm) = process.sm {
                            emit(
                                &[id, &process.pid, &process.command, &process.container],
                                Value::Integer(sm),
                            );
                        }
                    }
                });
            },
        },
        dcgm: &[],
    },
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
                        instance.memory.map(|memory| memory.used)
                    });
                });
            },
        },
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
                        instance.memory.map(|memory| memory.total)
                    });
                });
            },
        },
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
        dcgm: &[gauge(
            "DCGM_FI_PROF_DRAM_ACTIVE",
            &[],
            Scale::Same,
            "Share of the memory bandwidth that was used.",
        )],
    },
];
