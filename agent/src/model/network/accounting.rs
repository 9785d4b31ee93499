//! How bytes are counted on this kernel, and when they were not.

use super::series::network;
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};
use crate::sample::Accounting;

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "partymeter_network_accounting_info",
        kind: Kind::Info,
        unit: "1",
        help: "How bytes are counted on this kernel.",
        labels: &["bytes", "latency", "messages", "udp", "pin", "kernel"],
        source: "uname(2)",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.network.accounting")],
        read: |snapshot, emit| {
            if let Some(network) = network(snapshot) {
                let Accounting {
                    bytes,
                    latency,
                    messages,
                    udp,
                    pin,
                    kernel,
                } = &network.accounting;
                emit(
                    &[bytes, latency, messages, udp, pin, kernel],
                    MetricValue::Integer(1),
                );
            }
        },
    },
    Metric {
        name: "partymeter_network_gaps_total",
        kind: Kind::Counter,
        unit: "{gap}",
        help: "Times that somebody detached the BPF program; what it would have counted is missing.",
        labels: &["program"],
        source: "bpf_link_info",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.network.gaps")],
        read: |snapshot, emit| {
            for gap in network(snapshot).into_iter().flat_map(|it| &it.gaps) {
                emit(&[gap.program], MetricValue::Integer(gap.count));
            }
        },
    },
    Metric {
        name: "partymeter_network_gap_seconds_total",
        kind: Kind::Counter,
        unit: "s",
        help: "Upper bound of the time that the BPF program was detached, including the current gap.",
        labels: &["program"],
        source: "bpf_link_info",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.network.gap.time")],
        read: |snapshot, emit| {
            for gap in network(snapshot).into_iter().flat_map(|it| &it.gaps) {
                emit(&[gap.program], MetricValue::Real(gap.seconds));
            }
        },
    },
];
