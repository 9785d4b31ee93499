//! The pipes of the SMs.

use super::{
    metric::{GpuMetric, Scale, gauge},
    ranges,
};
use crate::model::metric::{Kind, Metric, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[GpuMetric {
    metric: Metric {
        name: "gpu_pipe_active_ratio",
        kind: Kind::Gauge,
        unit: "1",
        help: "Share of the time in which the pipe was busy.",
        labels: &["gpu_id", "pipe"],
        source: "nvmlGpmMetricsGet",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.gpu.pipe.active")],
        read: per_name!(|reading| reading.activity.pipes),
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
}];
