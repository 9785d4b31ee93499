//! Utilization of the GPU and its engines.

use opentelemetry_semantic_conventions::{attribute::HW_GPU_TASK, metric::HW_GPU_UTILIZATION};

use super::{
    metric::{GpuMetric, Scale, gauge},
    ranges,
    series::each,
};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which a kernel ran.",
            labels: &["gpu_id", "node"],
            source: "nvmlDeviceGetUtilizationRates",
            reset: Reset::None,
            opentelemetry: &[otel(HW_GPU_UTILIZATION).with(&[(HW_GPU_TASK, "general")])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    if let Some(value) = reading.utilization {
                        emit(&[id, &snapshot.node], MetricValue::Integer(value));
                    }
                });
            },
        },
        range: Some(ranges::PERCENT),
        dcgm: &[gauge(
            "DCGM_FI_DEV_GPU_UTIL",
            &[],
            Scale::Same,
            "GPU utilization (in %).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_encoder_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which the video encoder was busy.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetEncoderUtilization",
            reset: Reset::None,
            opentelemetry: &[otel(HW_GPU_UTILIZATION).with(&[(HW_GPU_TASK, "encoder")])],
            read: per_gpu!(|reading| reading.encoder),
        },
        range: Some(ranges::PERCENT),
        dcgm: &[gauge(
            "DCGM_FI_DEV_ENC_UTIL",
            &[],
            Scale::Same,
            "Encoder utilization (in %).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_decoder_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which the video decoder was busy.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetDecoderUtilization",
            reset: Reset::None,
            opentelemetry: &[otel(HW_GPU_UTILIZATION).with(&[(HW_GPU_TASK, "decoder")])],
            read: per_gpu!(|reading| reading.decoder),
        },
        range: Some(ranges::PERCENT),
        dcgm: &[gauge(
            "DCGM_FI_DEV_DEC_UTIL",
            &[],
            Scale::Same,
            "Decoder utilization (in %).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_jpeg_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which the JPEG decoder was busy.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetJpgUtilization",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.jpeg.utilization")],
            read: per_gpu!(|reading| reading.jpeg),
        },
        range: Some(ranges::PERCENT),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_ofa_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which the optical flow accelerator was busy.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetOfaUtilization",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.ofa.utilization")],
            read: per_gpu!(|reading| reading.ofa),
        },
        range: Some(ranges::PERCENT),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_memory_controller_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which memory was read or written.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetUtilizationRates",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.memory_controller.utilization")],
            read: per_gpu!(|reading| reading.memory_controller),
        },
        range: Some(ranges::PERCENT),
        dcgm: &[gauge(
            "DCGM_FI_DEV_MEM_COPY_UTIL",
            &[],
            Scale::Same,
            "Memory utilization (in %).",
        )],
    },
];
