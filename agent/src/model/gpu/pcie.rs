//! The PCIe bus.

use opentelemetry_semantic_conventions::{
    attribute::ERROR_TYPE,
    metric::{HW_ERRORS, HW_GPU_IO},
};

use super::{
    metric::{GpuMetric, Scale, counter},
    ranges,
    series::{both, each},
};
use crate::model::metric::{Kind, Metric, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_pcie_bytes_total",
            kind: Kind::Counter,
            unit: "By",
            help: "Bytes over PCIe as the GPU sees it, headers and all.",
            labels: &["gpu_id", "direction"],
            source: "NVML_FI_DEV_PCIE_COUNT_TX_BYTES, NVML_FI_DEV_PCIE_COUNT_RX_BYTES",
            reset: Reset::Driver,
            opentelemetry: &[otel(HW_GPU_IO)],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    both(emit, &[id], reading.pcie.transmit, reading.pcie.receive);
                });
            },
        },
        range: Some(ranges::TRAFFIC),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_pcie_replays_total",
            kind: Kind::Counter,
            unit: "{packet}",
            help: "PCIe packets that had to be sent again.",
            labels: &["gpu_id"],
            source: "NVML_FI_DEV_PCIE_REPLAY_COUNTER",
            reset: Reset::Driver,
            opentelemetry: &[otel(HW_ERRORS)
                .unit("{error}")
                .with(&[(ERROR_TYPE, "pcie_replay")])],
            read: per_gpu!(|reading| reading.pcie.replays),
        },
        range: Some(ranges::EVENTS),
        dcgm: &[counter(
            "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
            &[],
            Scale::Same,
            "Total number of PCIe retries.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_pcie_link_generation",
            kind: Kind::Gauge,
            unit: "1",
            help: "Generation of the PCIe link as it is now; it falls when the GPU is idle.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetCurrPcieLinkGeneration",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.pcie.link.generation")],
            read: per_gpu!(|reading| reading.pcie.generation),
        },
        range: Some(ranges::GENERATION),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_pcie_link_width",
            kind: Kind::Gauge,
            unit: "{lane}",
            help: "Lanes of the PCIe link as it is now.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetCurrPcieLinkWidth",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.pcie.link.width")],
            read: per_gpu!(|reading| reading.pcie.width),
        },
        range: Some(ranges::LANES),
        dcgm: &[],
    },
];
