//! MIG instances and their memory.

use super::{
    memory::{FB_TOTAL, FB_USED},
    metric::GpuMetric,
    ranges,
    series::each,
};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[GpuMetric] = &[
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_info",
            kind: Kind::Info,
            unit: "1",
            help: "Which MIG instances there are.",
            labels: &[
                "gpu_id",
                "gpu_instance_id",
                "compute_instance_id",
                "profile",
                "uuid",
            ],
            source: "nvmlDeviceGetMigDeviceHandleByIndex",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig")],
            read: |snapshot, emit| {
                each(snapshot, |id, reading| {
                    for instance in &reading.instances {
                        emit(
                            &[
                                id,
                                &instance.gpu_instance,
                                &instance.compute_instance,
                                &instance.profile,
                                &instance.uuid,
                            ],
                            MetricValue::Integer(1),
                        );
                    }
                });
            },
        },
        range: None,
        dcgm: &[],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_memory_used_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory of the GPU instance that is allocated.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.memory.usage").sum()],
            read: per_gpu_instance!(|instance| instance.memory.and_then(|memory| memory.used)),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[FB_USED],
    },
    GpuMetric {
        metric: Metric {
            name: "gpu_mig_memory_total_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "All memory of the GPU instance.",
            labels: &["gpu_id", "gpu_instance_id"],
            source: "nvmlDeviceGetMemoryInfo_v2",
            reset: Reset::None,
            opentelemetry: &[otel("partymeter.gpu.mig.memory.limit").sum()],
            read: per_gpu_instance!(|instance| instance.memory.and_then(|memory| memory.total)),
        },
        range: Some(ranges::MEMORY),
        dcgm: &[FB_TOTAL],
    },
];
