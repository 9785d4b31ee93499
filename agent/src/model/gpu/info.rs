//! Which GPUs there are, and whether they work.

use opentelemetry_semantic_conventions::{attribute::HW_STATE, metric::HW_STATUS};

use super::{metric::GpuMetric, series::gpus};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};
use crate::sample::gpu::VgpuLicense;

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_up",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether the GPU answers; why not is in gpu_down_info, on /-/ready and in the log.",
            labels: &["gpu_id"],
            source: "the agent",
            reset: Reset::None,
            opentelemetry: &[
                otel(HW_STATUS).sum().with(&[(HW_STATE, "ok")]),
                otel(HW_STATUS).sum().not().with(&[(HW_STATE, "failed")]),
            ],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    emit(
                        &[&gpu.id],
                        MetricValue::Integer(u64::from(gpu.down.is_none())),
                    );
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_down_info",
            kind: Kind::Info,
            unit: "1",
            help: "Why the GPU does not answer: lost, deadline (a call hangs), absent (no driver, or released on request), permission or read.",
            labels: &["gpu_id", "reason"],
            source: "the agent",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.down")],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    if let Some(kind) = gpu.down {
                        emit(&[&gpu.id, kind.name()], MetricValue::Integer(1));
                    }
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_info",
            kind: Kind::Info,
            unit: "1",
            help: "Which GPU it is, as it was when it was last open; also of a GPU that is down.",
            labels: &[
                "gpu_id",
                "gpu_uuid",
                "model",
                "pci_bus_id",
                "driver_version",
                "cuda_version",
                "vbios",
            ],
            source: "nvmlDeviceGetUUID, nvmlDeviceGetName, nvmlDeviceGetPciInfo_v3, nvmlDeviceGetVbiosVersion",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu")],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    if let Some(info) = &gpu.info {
                        emit(
                            &[
                                &gpu.id,
                                &info.uuid,
                                &info.model,
                                &info.pci_bus_id,
                                &info.driver_version,
                                &info.cuda_version,
                                &info.vbios,
                            ],
                            MetricValue::Integer(1),
                        );
                    }
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_vgpu_licensed",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether the license that a virtual GPU needs is there; absent where none is needed.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetGridLicensableFeatures_v4",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.vgpu.licensed")],
            read: per_gpu!(|reading| {
                let license = reading.vgpu_license;
                let needed = license.filter(|license| *license != VgpuLicense::NotNeeded);
                needed.map(|license| license == VgpuLicense::Licensed)
            }),
        },
        range: None,
        dcgm: &[],
    },
];
