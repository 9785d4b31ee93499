//! Temperatures, their limits, and fans.

use opentelemetry_semantic_conventions::metric::{
    HW_FAN_SPEED_RATIO, HW_TEMPERATURE, HW_TEMPERATURE_LIMIT,
};

use super::{
    metric::{GpuMetric, PERCENT, Scale, gauge},
    ranges,
    series::each,
};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_temperature_celsius",
            kind: Kind::Gauge,
            unit: "Cel",
            help: "Temperature by sensor: gpu or memory.",
            labels: &["gpu_id", "sensor"],
            source: "nvmlDeviceGetTemperature, NVML_FI_DEV_MEMORY_TEMP",
            reset: Reset::None,
            opentelemetry: &[otel(HW_TEMPERATURE)],
            read: per_name!(|reading| reading.temperatures),
        },
        range: Some(ranges::TEMPERATURE),
        dcgm: &[
            gauge(
                "DCGM_FI_DEV_GPU_TEMP",
                &[("sensor", "gpu")],
                Scale::Same,
                "GPU temperature (in C).",
            ),
            gauge(
                "DCGM_FI_DEV_MEMORY_TEMP",
                &[("sensor", "memory")],
                Scale::Same,
                "Memory temperature (in C).",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_temperature_limit_celsius",
            kind: Kind::Gauge,
            unit: "Cel",
            help: "Temperature at which the GPU shuts down or slows down, or that it and its memory should not pass.",
            labels: &["gpu_id", "limit"],
            source: "nvmlDeviceGetTemperatureThreshold",
            reset: Reset::None,
            opentelemetry: &[otel(HW_TEMPERATURE_LIMIT)],
            read: per_name!(|reading| reading.temperature_limits),
        },
        range: Some(ranges::TEMPERATURE),
        dcgm: &[
            gauge(
                "DCGM_FI_DEV_SLOWDOWN_TEMP",
                &[("limit", "slowdown")],
                Scale::Same,
                "Slowdown temperature (in C).",
            ),
            gauge(
                "DCGM_FI_DEV_SHUTDOWN_TEMP",
                &[("limit", "shutdown")],
                Scale::Same,
                "Shutdown temperature (in C).",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_temperature_margin_celsius",
            kind: Kind::Gauge,
            unit: "Cel",
            help: "The same on models that state it as a margin (T.Limit): negative is beyond the highest operating temperature.",
            labels: &["gpu_id", "limit"],
            source: "NVML_FI_DEV_TEMPERATURE_*_TLIMIT",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.temperature.margin")],
            read: per_name!(|reading| reading.temperature_margins),
        },
        range: Some(ranges::MARGIN),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_temperature_current_margin_celsius",
            kind: Kind::Gauge,
            unit: "Cel",
            help: "Degrees that are left now until the GPU lowers its clocks (T.Limit); compare it with gpu_temperature_margin_celsius.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetMarginTemperature",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.temperature.current_margin")],
            read: per_gpu!(|reading| reading.temperature_margin),
        },
        range: Some(ranges::MARGIN),
        dcgm: &[gauge(
            "DCGM_FI_DEV_GPU_TEMP_LIMIT",
            &[],
            Scale::Same,
            "Thermal margin temperature (distance to nearest slowdown threshold) for this GPU.",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_fan_speed_ratio",
            kind: Kind::Gauge,
            unit: "1",
            help: "Speed of the fan that is asked for, of its greatest.",
            labels: &["gpu_id", "fan"],
            source: "nvmlDeviceGetFanSpeed_v2",
            reset: Reset::None,
            opentelemetry: &[otel(HW_FAN_SPEED_RATIO)],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for (fan, ratio) in &reading.fans {
                        emit(&[id, &fan.to_string()], MetricValue::Real(*ratio));
                    }
                });
            },
        },
        range: Some(ranges::FAN),
        dcgm: &[gauge(
            "DCGM_FI_DEV_FAN_SPEED",
            &[],
            PERCENT,
            "Fan speed (in %).",
        )],
    },
];
