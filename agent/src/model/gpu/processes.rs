//! The processes on a GPU.

use super::{metric::GpuMetric, ranges, series::each};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
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
                                MetricValue::Integer(memory),
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
                                MetricValue::Integer(sm),
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
