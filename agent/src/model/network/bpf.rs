//! The BPF programs and maps.

use super::series::{LOADED, network};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "partymeter_bpf_program_runs_total",
        kind: Kind::Counter,
        unit: "{run}",
        help: "Runs of the BPF program while kernel.bpf_stats_enabled was on.",
        labels: &["program"],
        source: "bpf_prog_info.run_cnt",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.bpf.program.runs")],
        read: |snapshot, emit| {
            for program in network(snapshot).into_iter().flat_map(|it| &it.programs) {
                emit(&[program.program], MetricValue::Integer(program.runs));
            }
        },
    },
    Metric {
        name: "partymeter_bpf_program_seconds_total",
        kind: Kind::Counter,
        unit: "s",
        help: "Time spent in the BPF program while kernel.bpf_stats_enabled was on.",
        labels: &["program"],
        source: "bpf_prog_info.run_time_ns",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.bpf.program.time")],
        read: |snapshot, emit| {
            for program in network(snapshot).into_iter().flat_map(|it| &it.programs) {
                emit(
                    &[program.program],
                    MetricValue::Real(seconds(program.nanoseconds)),
                );
            }
        },
    },
    Metric {
        name: "partymeter_bpf_map_entries",
        kind: Kind::Gauge,
        unit: "{entry}",
        help: "Entries of the BPF map in use.",
        labels: &["map"],
        source: "BPF maps",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.bpf.map.entries").sum()],
        read: |snapshot, emit| {
            for map in network(snapshot).into_iter().flat_map(|it| &it.maps) {
                emit(&[map.map], MetricValue::Integer(map.entries));
            }
        },
    },
    Metric {
        name: "partymeter_bpf_map_capacity",
        kind: Kind::Gauge,
        unit: "{entry}",
        help: "Capacity of the BPF map; absent where only memory limits it.",
        labels: &["map"],
        source: "BPF maps",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.bpf.map.capacity").sum()],
        read: |snapshot, emit| {
            for map in network(snapshot).into_iter().flat_map(|it| &it.maps) {
                if let Some(capacity) = map.capacity {
                    emit(&[map.map], MetricValue::Integer(capacity));
                }
            }
        },
    },
    Metric {
        name: "partymeter_bpf_dropped_total",
        kind: Kind::Counter,
        unit: "{event}",
        help: "Events that the BPF programs could not handle, by reason.",
        labels: &["reason"],
        source: "BPF programs",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.bpf.dropped")],
        read: |snapshot, emit| {
            for (reason, count) in network(snapshot).into_iter().flat_map(|it| &it.dropped) {
                emit(&[reason], MetricValue::Integer(*count));
            }
        },
    },
];

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 104 days of run time"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
