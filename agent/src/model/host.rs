//! The metrics of the host source: the machine, and the agent's own process.

use opentelemetry_semantic_conventions::{
    attribute::SYSTEM_MEMORY_STATE,
    metric::{
        PROCESS_CPU_TIME, PROCESS_MEMORY_USAGE, PROCESS_MEMORY_VIRTUAL, PROCESS_THREAD_COUNT,
        PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, SYSTEM_MEMORY_USAGE,
    },
};

use super::metric::{Kind, Metric, MetricValue, Reset, otel};
use crate::sample::{Process, Snapshot};

const START: Reset = Reset::Agent;

/// A metric of the agent's process, under the conventional name.
macro_rules! process {
    ($name:literal, $kind:ident, $unit:literal, $reset:expr, $source:literal, $help:literal, $field:ident, $value:ident, $otel:expr) => {
        Metric {
            name: $name,
            kind: Kind::$kind,
            unit: $unit,
            help: $help,
            labels: &[],
            source: $source,
            reset: $reset,
            opentelemetry: &[$otel],
            read: |snapshot, emit| {
                if let Some(Process {
                    $field: Some(value),
                    ..
                }) = process(snapshot)
                {
                    emit(&[], MetricValue::$value(*value));
                }
            },
        }
    };
}

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "memory_usage_bytes",
        kind: Kind::Gauge,
        unit: "By",
        help: "Memory in use: by the system, what is not available to programs; by the GPUs, the sum of what is allocated.",
        labels: &["type", "node"],
        source: "/proc/meminfo, nvmlDeviceGetMemoryInfo_v2",
        reset: Reset::None,
        opentelemetry: &[
            otel(SYSTEM_MEMORY_USAGE)
                .sum()
                .with(&[(SYSTEM_MEMORY_STATE, "used")])
                .labels(&[("type", "")])
                .only("type", "system_memory"),
            otel("partymeter.gpu.memory.usage")
                .sum()
                .labels(&[("type", "")])
                .only("type", "gpu_memory"),
        ],
        read: |snapshot, emit| {
            if let Some(used) = snapshot.host.as_deref().and_then(|host| host.memory_used) {
                emit(
                    &["system_memory", &snapshot.node],
                    MetricValue::Integer(used),
                );
            }
            let gpus = snapshot.gpus.iter().flat_map(|gpus| &gpus.gpus);
            let used = gpus.filter_map(|gpu| gpu.reading.as_ref()?.memory?.used);
            if let Some(used) = used.reduce(u64::saturating_add) {
                emit(&["gpu_memory", &snapshot.node], MetricValue::Integer(used));
            }
        },
    },
    process!(
        "process_cpu_seconds_total",
        Counter,
        "s",
        START,
        "/proc/self/stat",
        "User and system CPU time spent by the agent.",
        cpu_seconds,
        Real,
        otel(PROCESS_CPU_TIME)
    ),
    process!(
        "process_resident_memory_bytes",
        Gauge,
        "By",
        Reset::None,
        "/proc/self/statm",
        "Resident memory of the agent.",
        resident_bytes,
        Integer,
        otel(PROCESS_MEMORY_USAGE).sum()
    ),
    process!(
        "process_virtual_memory_bytes",
        Gauge,
        "By",
        Reset::None,
        "/proc/self/statm",
        "Virtual memory of the agent.",
        virtual_bytes,
        Integer,
        otel(PROCESS_MEMORY_VIRTUAL).sum()
    ),
    process!(
        "process_open_fds",
        Gauge,
        "{file_descriptor}",
        Reset::None,
        "/proc/self/fd",
        "Open file descriptors of the agent.",
        open_fds,
        Integer,
        otel(PROCESS_UNIX_FILE_DESCRIPTOR_COUNT).sum()
    ),
    process!(
        "process_max_fds",
        Gauge,
        "{file_descriptor}",
        Reset::None,
        "getrlimit(2)",
        "File descriptors that the agent may open.",
        max_fds,
        Integer,
        otel("partymeter.process.file_descriptor.limit").sum()
    ),
    process!(
        "process_threads",
        Gauge,
        "{thread}",
        Reset::None,
        "/proc/self/stat",
        "Threads of the agent.",
        threads,
        Integer,
        otel(PROCESS_THREAD_COUNT).sum()
    ),
    process!(
        "process_start_time_seconds",
        Gauge,
        "s",
        Reset::None,
        "/proc/self/stat",
        "When the agent started, in seconds since 1970.",
        start_time,
        Real,
        otel("partymeter.process.start_time")
    ),
];

fn process(snapshot: &Snapshot) -> Option<&Process> {
    snapshot.host.as_deref().map(|host| &host.process)
}
