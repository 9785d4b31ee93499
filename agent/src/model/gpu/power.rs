//! Power and energy.

use opentelemetry_semantic_conventions::metric::{HW_ENERGY, HW_POWER};

use super::{
    metric::{GpuMetric, MILLI, Scale, counter, gauge},
    ranges,
};
use crate::model::metric::{Kind, Metric, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_power_watts",
            kind: Kind::Gauge,
            unit: "W",
            help: "Power that the GPU and its memory draw; the mean of a second on most models.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetPowerUsage",
            reset: Reset::None,
            opentelemetry: &[otel(HW_POWER)],
            read: per_gpu!(|reading| reading.power),
        },
        range: Some(ranges::POWER),
        dcgm: &[gauge(
            "DCGM_FI_DEV_POWER_USAGE",
            &[],
            Scale::Same,
            "Power draw (in W).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_power_limit_watts",
            kind: Kind::Gauge,
            unit: "W",
            help: "The lowest of the power limits in force.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetEnforcedPowerLimit",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.power.limit")],
            read: per_gpu!(|reading| reading.power_limit),
        },
        range: Some(ranges::POWER),
        dcgm: &[gauge(
            "DCGM_FI_DEV_ENFORCED_POWER_LIMIT",
            &[],
            Scale::Same,
            "Enforced power limit (in W).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_energy_joules_total",
            kind: Kind::Counter,
            unit: "J",
            help: "Energy that the GPU has used.",
            labels: &["gpu_id"],
            source: "NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
            reset: Reset::Driver,
            opentelemetry: &[otel(HW_ENERGY)],
            read: per_gpu!(|reading| reading.energy),
        },
        range: Some(ranges::ENERGY),
        dcgm: &[counter(
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
            &[],
            MILLI,
            "Total energy consumption since boot (in mJ).",
        )],
    },
];
