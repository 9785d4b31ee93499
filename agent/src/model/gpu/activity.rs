//! How busy the parts of the GPUs are, and who uses them.

use super::{
    GpuMetric,
    dcgm::{Scale, gauge},
    each, list, one, ranges,
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
        range: Some(ranges::SHARE),
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
        range: Some(ranges::SHARE),
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
        range: Some(ranges::MEMORY),
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
        range: Some(ranges::PERCENT),
        dcgm: &[],
    },
];
