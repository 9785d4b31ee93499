//! PCIe, NVLink, and what goes wrong in memory and on the lines.

use super::{
    DRIVER, GpuMetric, START, both,
    dcgm::{Scale, counter, gauge},
    each, gpus, list, one, ranges,
};
use crate::model::{Kind, Metric, Reset, Value, opentelemetry::otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_pcie_bytes_total",
            kind: Kind::Counter,
            unit: "By",
            help: "Bytes over PCIe as the GPU sees it, headers and all.",
            labels: &["gpu_id", "direction"],
            source: "NVML_FI_DEV_PCIE_COUNT_TX_BYTES, NVML_FI_DEV_PCIE_COUNT_RX_BYTES",
            reset: DRIVER,
            opentelemetry: &[otel("hw.gpu.io")],
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
            reset: DRIVER,
            opentelemetry: &[otel("hw.errors")
                .unit("{error}")
                .with(&[("error.type", "pcie_replay")])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.pcie.replays);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.pcie.generation);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.pcie.width);
                });
            },
        },
        range: Some(ranges::LANES),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_nvlink_bytes_total",
            kind: Kind::Counter,
            unit: "By",
            help: "Payload over the NVLink.",
            labels: &["gpu_id", "link", "direction"],
            source: "NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX",
            reset: DRIVER,
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
            reset: DRIVER,
            opentelemetry: &[otel("hw.errors").labels(&[("type", "error.type")])],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for link in &reading.links {
                        let number = link.link.to_string();
                        for (kind, count) in &link.errors {
                            emit(&[id, &number, kind], Value::Integer(*count));
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
                            emit(&[id, &link.link.to_string()], Value::Integer(up));
                        }
                    }
                });
            },
        },
        range: Some(ranges::FLAG),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_ecc_errors_total",
            kind: Kind::Counter,
            unit: "{error}",
            help: "Memory errors: corrected or uncorrected; volatile counts since the driver was loaded, aggregate over the life of the GPU.",
            labels: &["gpu_id", "type", "scope"],
            source: "NVML_FI_DEV_ECC_*",
            reset: DRIVER,
            opentelemetry: &[otel("hw.errors")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for (kind, scope, count) in &reading.ecc {
                        emit(&[id, kind, scope], Value::Integer(*count));
                    }
                });
            },
        },
        range: Some(ranges::EVENTS),
        dcgm: &[
            counter(
                "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
                &[("type", "corrected"), ("scope", "volatile")],
                Scale::Same,
                "Total number of single-bit volatile ECC errors.",
            ),
            counter(
                "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL",
                &[("type", "corrected"), ("scope", "aggregate")],
                Scale::Same,
                "Total number of single-bit persistent ECC errors.",
            ),
            counter(
                "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
                &[("type", "uncorrected"), ("scope", "volatile")],
                Scale::Same,
                "Total number of double-bit volatile ECC errors.",
            ),
            counter(
                "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL",
                &[("type", "uncorrected"), ("scope", "aggregate")],
                Scale::Same,
                "Total number of double-bit persistent ECC errors.",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_retired_pages",
            kind: Kind::Gauge,
            unit: "{page}",
            help: "Memory pages taken out of use (before Ampere).",
            labels: &["gpu_id", "cause"],
            source: "NVML_FI_DEV_RETIRED_*",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.retired_pages").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.retired);
                });
            },
        },
        range: Some(ranges::REPAIRS),
        dcgm: &[
            gauge(
                "DCGM_FI_DEV_RETIRED_SBE",
                &[("cause", "single_bit")],
                Scale::Same,
                "Total number of retired pages due to single-bit errors.",
            ),
            gauge(
                "DCGM_FI_DEV_RETIRED_DBE",
                &[("cause", "double_bit")],
                Scale::Same,
                "Total number of retired pages due to double-bit errors.",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_remapped_rows",
            kind: Kind::Gauge,
            unit: "{row}",
            help: "Memory rows replaced by spare ones (Ampere and later).",
            labels: &["gpu_id", "cause"],
            source: "NVML_FI_DEV_REMAPPED_*",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.remapped_rows").sum()],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.remapped);
                });
            },
        },
        range: Some(ranges::REPAIRS),
        dcgm: &[
            counter(
                "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
                &[("cause", "correctable")],
                Scale::Same,
                "Number of remapped rows for correctable errors.",
            ),
            counter(
                "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
                &[("cause", "uncorrectable")],
                Scale::Same,
                "Number of remapped rows for uncorrectable errors.",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_row_remap_pending",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether a row waits for the next reset to be replaced.",
            labels: &["gpu_id"],
            source: "NVML_FI_DEV_REMAPPED_PENDING",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.row_remap.pending")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.remap_pending);
                });
            },
        },
        range: Some(ranges::FLAG),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_row_remap_failure",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether a row could not be replaced: the GPU should be exchanged.",
            labels: &["gpu_id"],
            source: "NVML_FI_DEV_REMAPPED_FAILURE",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.row_remap.failure")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.remap_failure);
                });
            },
        },
        range: Some(ranges::FLAG),
        dcgm: &[gauge(
            "DCGM_FI_DEV_ROW_REMAP_FAILURE",
            &[],
            Scale::Same,
            "Whether remapping of rows has failed.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_recovery_action",
            kind: Kind::Gauge,
            unit: "1",
            help: "What the driver asks for: 0 nothing, 1 reset of the GPU, 2 reboot of the node, 3 drain peer-to-peer traffic, 4 drain and reset.",
            labels: &["gpu_id"],
            source: "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.recovery_action")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.recovery_action);
                });
            },
        },
        range: Some(ranges::ACTION),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_xid_errors_total",
            kind: Kind::Counter,
            unit: "{error}",
            help: "XID errors by number, since the agent started; also of a GPU that is down.",
            labels: &["gpu_id", "xid"],
            source: "nvmlEventSetWait_v2",
            reset: START,
            opentelemetry: &[otel("hw.errors")],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    for xid in &gpu.xids {
                        emit(&[&gpu.id, &xid.xid.to_string()], Value::Integer(xid.count));
                    }
                }
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_xid_last_timestamp_seconds",
            kind: Kind::Gauge,
            unit: "s",
            help: "When the last XID error of that number was read, in seconds since 1970.",
            labels: &["gpu_id", "xid"],
            source: "nvmlEventSetWait_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.xid.last_timestamp")],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    for xid in &gpu.xids {
                        emit(&[&gpu.id, &xid.xid.to_string()], Value::Real(xid.last));
                    }
                }
            },
        },
        range: None,
        dcgm: &[],
    },
];
