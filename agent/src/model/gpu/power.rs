//! Power, temperature, clocks, and what holds them down.

use super::{
    DRIVER, GpuMetric,
    dcgm::{MEGA, MILLI, NANO, PERCENT, Scale, counter, gauge},
    each, list, one, ranges,
};
use crate::model::{Kind, Metric, Reset, Value, opentelemetry::otel};

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
            opentelemetry: &[otel("hw.power")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.power);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.power_limit);
                });
            },
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
            reset: DRIVER,
            opentelemetry: &[otel("hw.energy")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.energy);
                });
            },
        },
        range: Some(ranges::ENERGY),
        dcgm: &[counter(
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
            &[],
            MILLI,
            "Total energy consumption since boot (in mJ).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_temperature_celsius",
            kind: Kind::Gauge,
            unit: "Cel",
            help: "Temperature by sensor: gpu or memory.",
            labels: &["gpu_id", "sensor"],
            source: "nvmlDeviceGetTemperature, NVML_FI_DEV_MEMORY_TEMP",
            reset: Reset::None,
            opentelemetry: &[otel("hw.temperature")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.temperatures);
                });
            },
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
            opentelemetry: &[otel("hw.temperature.limit")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.temperature_limits);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.temperature_margins);
                });
            },
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
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.temperature_margin);
                });
            },
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
            opentelemetry: &[otel("hw.fan.speed_ratio")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for (fan, ratio) in &reading.fans {
                        emit(&[id, &fan.to_string()], Value::Real(*ratio));
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
    GpuMetric {
        metric: Metric {
            name: "gpu_clock_hertz",
            kind: Kind::Gauge,
            unit: "Hz",
            help: "Clock by domain: graphics, sm, memory or video.",
            labels: &["gpu_id", "domain"],
            source: "nvmlDeviceGetClockInfo",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.clock")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.clocks);
                });
            },
        },
        range: Some(ranges::CLOCK),
        dcgm: &[
            gauge(
                "DCGM_FI_DEV_SM_CLOCK",
                &[("domain", "sm")],
                MEGA,
                "SM clock frequency (in MHz).",
            ),
            gauge(
                "DCGM_FI_DEV_MEM_CLOCK",
                &[("domain", "memory")],
                MEGA,
                "Memory clock frequency (in MHz).",
            ),
        ],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_clock_max_hertz",
            kind: Kind::Gauge,
            unit: "Hz",
            help: "The highest clock by domain.",
            labels: &["gpu_id", "domain"],
            source: "nvmlDeviceGetMaxClockInfo",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.clock.limit")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.clocks_max);
                });
            },
        },
        range: Some(ranges::CLOCK),
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_performance_state",
            kind: Kind::Gauge,
            unit: "1",
            help: "P-state: 0 (fastest) to 15.",
            labels: &["gpu_id"],
            source: "nvmlDeviceGetPerformanceState",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.performance_state")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    one(emit, id, reading.performance_state);
                });
            },
        },
        range: Some(ranges::STATE),
        dcgm: &[gauge(
            "DCGM_FI_DEV_PSTATE",
            &[],
            Scale::Same,
            "Performance state (0 to 15).",
        )],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_throttle_active",
            kind: Kind::Gauge,
            unit: "1",
            help: "Whether clocks are held down now for this reason.",
            labels: &["gpu_id", "reason"],
            source: "nvmlDeviceGetCurrentClocksEventReasons",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.throttle.state")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.throttle);
                });
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_throttle_seconds_total",
            kind: Kind::Counter,
            unit: "s",
            help: "Time for which clocks were held down for this reason.",
            labels: &["gpu_id", "reason"],
            source: "NVML_FI_DEV_PERF_POLICY_*, NVML_FI_DEV_CLOCKS_EVENT_REASON_*",
            reset: DRIVER,
            opentelemetry: &[otel("partymeter.gpu.throttle.time")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    list(emit, id, &reading.throttle_seconds);
                });
            },
        },
        range: Some(ranges::TIME),
        dcgm: &[
            counter(
                "DCGM_FI_DEV_POWER_VIOLATION",
                &[("reason", "sw_power_cap")],
                NANO,
                "Throttling duration due to power constraints (in ns).",
            ),
            counter(
                "DCGM_FI_DEV_THERMAL_VIOLATION",
                &[("reason", "thermal")],
                NANO,
                "Throttling duration due to thermal constraints (in ns).",
            ),
            counter(
                "DCGM_FI_DEV_SYNC_BOOST_VIOLATION",
                &[("reason", "sync_boost")],
                NANO,
                "Throttling duration due to sync-boost constraints (in ns).",
            ),
            counter(
                "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION",
                &[("reason", "board_limit")],
                NANO,
                "Throttling duration due to board limit constraints (in ns).",
            ),
            counter(
                "DCGM_FI_DEV_LOW_UTIL_VIOLATION",
                &[("reason", "low_utilization")],
                NANO,
                "Throttling duration due to low utilization (in ns).",
            ),
            counter(
                "DCGM_FI_DEV_RELIABILITY_VIOLATION",
                &[("reason", "reliability")],
                NANO,
                "Throttling duration due to reliability constraints (in ns).",
            ),
        ],
    },
];
