//! Payload and round-trip times.

use opentelemetry_semantic_conventions::metric::SYSTEM_NETWORK_IO;

use super::series::{LOADED, connections, times, traffic};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};
use crate::sample::Traffic;

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "network_bytes_total",
        kind: Kind::Counter,
        unit: "By",
        help: "Payload sent to and received from the party over TCP or UDP; retransmitted bytes count once.",
        labels: &["direction", "party_id", "protocol"],
        source: "tcp_sock.snd_nxt, tcp_sock.bytes_received, cgroup_skb",
        reset: LOADED,
        opentelemetry: &[otel(SYSTEM_NETWORK_IO)],
        read: |snapshot, emit| {
            for Traffic {
                party,
                protocol,
                transmit,
                receive,
                ..
            } in traffic(snapshot)
            {
                emit(
                    &["transmit", party, protocol],
                    MetricValue::Integer(*transmit),
                );
                emit(
                    &["receive", party, protocol],
                    MetricValue::Integer(*receive),
                );
            }
        },
    },
    Metric {
        name: "network_retransmitted_bytes_total",
        kind: Kind::Counter,
        unit: "By",
        help: "TCP payload retransmitted to the party.",
        labels: &["party_id", "protocol"],
        source: "tcp_sock.bytes_retrans",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.network.retransmitted")],
        read: |snapshot, emit| {
            for Traffic {
                party,
                protocol,
                retransmit,
                ..
            } in connections(snapshot)
            {
                emit(&[party, protocol], MetricValue::Integer(*retransmit));
            }
        },
    },
    Metric {
        name: "network_segments_total",
        kind: Kind::Counter,
        unit: "{segment}",
        help: "TCP segments with payload exchanged with the party, including retransmissions.",
        labels: &["direction", "party_id", "protocol"],
        source: "tcp_sock.data_segs_out, tcp_sock.data_segs_in",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.network.segments")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                for (direction, count) in ["transmit", "receive"].into_iter().zip(it.segments) {
                    emit(
                        &[direction, &it.party, &it.protocol],
                        MetricValue::Integer(count),
                    );
                }
            }
        },
    },
    Metric {
        name: "mpc_network_latency_seconds",
        kind: Kind::Histogram,
        unit: "s",
        help: "TCP round-trip times to the party, measured by the kernel.",
        labels: &["party_id", "protocol"],
        source: "BPF_SOCK_OPS_RTT_CB, tcp_sock.rack.rtt_us",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.network.latency")],
        read: |snapshot, emit| {
            for it in traffic(snapshot) {
                if let Some(latency) = &it.latency {
                    emit(&[&it.party, &it.protocol], times(latency));
                }
            }
        },
    },
    Metric {
        name: "mpc_network_smoothed_rtt_seconds",
        kind: Kind::Gauge,
        unit: "s",
        help: "Mean smoothed round-trip time of the open connections with the party.",
        labels: &["party_id", "protocol"],
        source: "tcp_sock.srtt_us",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.mpc.network.smoothed_rtt")],
        read: |snapshot, emit| {
            for it in traffic(snapshot) {
                if let Some(seconds) = it.smoothed_rtt {
                    emit(&[&it.party, &it.protocol], MetricValue::Real(seconds));
                }
            }
        },
    },
];
