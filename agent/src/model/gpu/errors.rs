//! Memory errors, their repair, and XID errors.

use opentelemetry_semantic_conventions::metric::HW_ERRORS;

use super::{
    metric::{GpuMetric, Scale, counter, gauge},
    ranges,
    series::{each, gpus},
};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_ecc_errors_total",
            kind: Kind::Counter,
            unit: "{error}",
            help: "Memory errors: corrected or uncorrected; volatile counts since the driver was loaded, aggregate over the life of the GPU.",
            labels: &["gpu_id", "type", "scope"],
            source: "NVML_FI_DEV_ECC_*",
            reset: Reset::Driver,
            opentelemetry: &[otel(HW_ERRORS)],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for (kind, scope, count) in &reading.ecc {
                        emit(&[id, kind, scope], MetricValue::Integer(*count));
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
            read: per_name!(|reading| reading.retired),
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
            read: per_name!(|reading| reading.remapped),
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
            read: per_gpu!(|reading| reading.remap_pending),
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
            read: per_gpu!(|reading| reading.remap_failure),
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
            read: per_gpu!(|reading| reading.recovery_action),
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
            reset: Reset::Agent,
            opentelemetry: &[otel(HW_ERRORS)],
            read: |snapshot, emit| {
                for gpu in gpus(snapshot) {
                    for xid in &gpu.xids {
                        emit(
                            &[&gpu.id, &xid.xid.to_string()],
                            MetricValue::Integer(xid.count),
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
                        emit(
                            &[&gpu.id, &xid.xid.to_string()],
                            MetricValue::Real(xid.last),
                        );
                    }
                }
            },
        },
        range: None,
        dcgm: &[],
    },
];
