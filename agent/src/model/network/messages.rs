//! Messages, rounds and waiting.

use super::series::{LOADED, messages, rounds, times};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "mpc_messages_total",
        kind: Kind::Counter,
        unit: "{message}",
        help: "Calls that sent payload to the party or received payload from it; over UDP, datagrams.",
        labels: &["direction", "party_id", "protocol"],
        source: "sock_send_length, sock_recv_length, cgroup_skb",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.messages")],
        read: |snapshot, emit| {
            for it in messages(snapshot) {
                for (direction, count) in ["transmit", "receive"].into_iter().zip(it.messages) {
                    emit(
                        &[direction, &it.party, &it.protocol],
                        MetricValue::Integer(count),
                    );
                }
            }
        },
    },
    Metric {
        name: "mpc_rounds_total",
        kind: Kind::Counter,
        unit: "{round}",
        help: "Times that payload was received from the party after payload was sent to it (an estimate).",
        labels: &["party_id", "protocol"],
        source: "sock_send_length, sock_recv_length",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.rounds")],
        read: |snapshot, emit| {
            for it in rounds(snapshot) {
                emit(&[&it.party, &it.protocol], MetricValue::Integer(it.rounds));
            }
        },
    },
    Metric {
        name: "mpc_peer_wait_seconds",
        kind: Kind::Histogram,
        unit: "s",
        help: "Time from the last send to the party until the next receive from it (an estimate).",
        labels: &["party_id", "protocol"],
        source: "sock_send_length, sock_recv_length",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.peer.wait")],
        read: |snapshot, emit| {
            for it in rounds(snapshot) {
                if let Some(waiting) = &it.waiting {
                    emit(&[&it.party, &it.protocol], times(waiting));
                }
            }
        },
    },
    Metric {
        name: "mpc_waiting_seconds_total",
        kind: Kind::Counter,
        unit: "s",
        help: "Time spent waiting for the party's next message after a send, including the current wait (an estimate).",
        labels: &["party_id", "protocol"],
        source: "sock_send_length, sock_recv_length",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.waiting")],
        read: |snapshot, emit| {
            for it in rounds(snapshot) {
                let seconds = MetricValue::Real(it.waited.as_secs_f64());
                emit(&[&it.party, &it.protocol], seconds);
            }
        },
    },
    Metric {
        name: "gpu_idle_waiting_seconds_total",
        kind: Kind::Counter,
        unit: "s",
        help: "Upper bound of the time that the GPU was idle while this node waited for the party: in each interval, the smaller of the two (an estimate).",
        labels: &["gpu_id", "party_id", "protocol"],
        source: "nvmlDeviceGetUtilizationRates, nvmlGpmMetricsGet, mpc_waiting_seconds_total",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.gpu.idle_waiting")],
        read: |snapshot, emit| {
            for it in snapshot.idle.iter().flat_map(|idle| &idle.waits) {
                emit(
                    &[&it.gpu, &it.party, &it.protocol],
                    MetricValue::Real(it.seconds),
                );
            }
        },
    },
];
