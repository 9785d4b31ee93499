//! NVLinks.

use opentelemetry_semantic_conventions::{attribute::ERROR_TYPE, metric::HW_ERRORS};

use super::{
    metric::GpuMetric,
    ranges,
    series::{both, each},
};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_nvlink_bytes_total",
            kind: Kind::Counter,
            unit: "By",
            help: "Payload over the NVLink.",
            labels: &["gpu_id", "link", "direction"],
            source: "NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX",
            reset: Reset::Driver,
            opentelemetry: &[otel("partymeter.gpu.nvlink.io")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for link in &reading.links {
                        both(
                            emit,
                            &[id, &link.link.to_string()],
                            link.transmit,
                            link.receive,
                        );
                    }
                });
            },
        },
        range: Some(ranges::TRAFFIC),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_nvlink_errors_total",
            kind: Kind::Counter,
            unit: "{error}",
            help: "Errors on the NVLink, by type.",
            labels: &["gpu_id", "link", "type"],
            source: "NVML_FI_DEV_NVLINK_*_ERROR_COUNT, NVML_FI_DEV_NVLINK_ERROR_DL_*, NVML_FI_DEV_NVLINK_COUNT_*",
            reset: Reset::Driver,
            opentelemetry: &[otel(HW_ERRORS).labels(&[("type", ERROR_TYPE)])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for link in &reading.links {
                        let number = link.link.to_string();
                        for (kind, count) in &link.errors {
                            emit(&[id, &number, kind], MetricValue::Integer(*count));
                        }
                    }
                });
            },
        },
        range: Some(ranges::EVENTS),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_nvlink_up",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether the NVLink is up.",
            labels: &["gpu_id", "link"],
            source: "nvmlDeviceGetNvLinkState",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.nvlink.up")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for link in &reading.links {
                        if let Some(up) = link.up {
                            emit(&[id, &link.link.to_string()], MetricValue::Integer(up));
                        }
                    }
                });
            },
        },
        range: Some(ranges::FLAG),
        dcgm: &[],
    },
];
