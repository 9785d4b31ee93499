//! Clocks, and the reasons for lower ones.

use super::{
    metric::{GpuMetric, MEGA, NANO, Scale, counter, gauge},
    ranges,
};
use crate::model::metric::{Kind, Metric, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
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
            read: per_name!(|reading| reading.clocks),
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
            read: per_name!(|reading| reading.clocks_max),
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
            read: per_gpu!(|reading| reading.performance_state),
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
            read: per_name!(|reading| reading.throttle),
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
            reset: Reset::Driver,
            opentelemetry: &[otel("partymeter.gpu.throttle.time")],
            read: per_name!(|reading| reading.throttle_seconds),
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
