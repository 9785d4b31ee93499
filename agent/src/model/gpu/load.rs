//! Which GPUs there are, how they do, and what they are doing: utilization and memory.

use super::{
    GpuMetric,
    dcgm::{MIB, Scale, gauge},
    each, gpus, one, ranges,
};
use crate::{
    model::{Kind, Metric, Reset, Value, opentelemetry::otel},
    sample::gpu::VgpuLicense,
};

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
                otel("hw.status").sum().with(&[("hw.state", "ok")]),
                otel("hw.status")
                    .sum()
                    .not()
                    .with(&[("hw.state", "failed")]),
            ],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    emit(&[&gpu.id], Value::Integer(u64::from(gpu.down.is_none())));
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
            help: "Why the GPU does not answer: lost, deadline (a call hangs), absent (no driver, or given up on request), permission or read.",
            labels: &["gpu_id", "reason"],
            source: "the agent",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.down")],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    if let Some(kind) = gpu.down {
                        emit(&[&gpu.id, kind.name()], Value::Integer(1));
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
                    if let Some(facts) = &gpu.facts {
                        emit(
                            &[
                                &gpu.id,
                                &facts.uuid,
                                &facts.model,
                                &facts.pci_bus_id,
                                &facts.driver_version,
                                &facts.cuda_version,
                                &facts.vbios,
                            ],
                            Value::Integer(1),
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    let it = reading.vgpu_license;
                    let needed = it.filter(|it| *it != VgpuLicense::NotNeeded);
                    one(emit, id, needed.map(|it| it == VgpuLicense::Licensed));
                });
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_utilization_percent",
            kind: Kind::Gauge,
            unit: "%",
            help: "Share of the last sampling period in which a kernel ran.",
            labels: &["gpu_id", "node"],
            source: "nvmlDeviceGetUtilizationRates",
            reset: Reset::None,
            opentelemetry: &[otel("hw.gpu.utilization").with(&[("hw.gpu.task", "general")])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    if let Some(value) = reading.utilization {
                        emit(&[id, &snapshot.node], Value::Integer(value));
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
            opentelemetry: &[otel("hw.gpu.utilization").with(&[("hw.gpu.task", "encoder")])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.encoder);
                });
            },
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
            opentelemetry: &[otel("hw.gpu.utilization").with(&[("hw.gpu.task", "decoder")])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.decoder);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.jpeg);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.ofa);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.memory_controller);
                });
            },
        },
        range: Some(ranges::PERCENT),
        dcgm: &[gauge(
            "DCGM_FI_DEV_MEM_COPY_UTIL",
            &[],
            Scale::Same,
            "Memory utilization (in %).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_memory_used_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory that is allocated.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("hw.gpu.memory.usage").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.memory.and_then(|memory| memory.used));
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
            name: "gpu_memory_total_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "All memory of the GPU.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("hw.gpu.memory.limit").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.memory.and_then(|memory| memory.total));
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
            name: "gpu_memory_free_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory that is free.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.memory.free").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.memory.and_then(|memory| memory.free));
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.memory.and_then(|memory| memory.reserved));
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.bar1_used);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.bar1_total);
                });
            },
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
