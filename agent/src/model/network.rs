//! The metrics of the network source.

use opentelemetry_semantic_conventions::metric::SYSTEM_NETWORK_IO;

use super::{Histogram, Kind, Metric, Reset, Value, opentelemetry::otel};
use crate::sample::{Accounting, Network, Snapshot, Times, Traffic};
use agent_ebpf::{End, Role};

const LOADED: Reset = Reset::Programs;

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "network_bytes_total",
        kind: Kind::Counter,
        unit: "By",
        help: "TCP or UDP payload exchanged with the party, each byte once: handed to the network, or received (TCP: in order).",
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
                emit(&["transmit", party, protocol], Value::Integer(*transmit));
                emit(&["receive", party, protocol], Value::Integer(*receive));
            }
        },
    },
    Metric {
        name: "network_retransmitted_bytes_total",
        kind: Kind::Counter,
        unit: "By",
        help: "TCP payload sent to the party again.",
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
                emit(&[party, protocol], Value::Integer(*retransmit));
            }
        },
    },
    Metric {
        name: "network_segments_total",
        kind: Kind::Counter,
        unit: "{segment}",
        help: "TCP segments with payload exchanged with the party, those sent again included.",
        labels: &["direction", "party_id", "protocol"],
        source: "tcp_sock.data_segs_out, tcp_sock.data_segs_in",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.network.segments")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                for (direction, count) in ["transmit", "receive"].into_iter().zip(it.segments) {
                    emit(&[direction, &it.party, &it.protocol], Value::Integer(count));
                }
            }
        },
    },
    Metric {
        name: "mpc_network_latency_seconds",
        kind: Kind::Histogram,
        unit: "s",
        help: "TCP round-trip times to the party, as the kernel measures them.",
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
        help: "Mean of the smoothed round-trip times of the open connections with the party.",
        labels: &["party_id", "protocol"],
        source: "tcp_sock.srtt_us",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.mpc.network.smoothed_rtt")],
        read: |snapshot, emit| {
            for it in traffic(snapshot) {
                if let Some(seconds) = it.smoothed_rtt {
                    emit(&[&it.party, &it.protocol], Value::Real(seconds));
                }
            }
        },
    },
    Metric {
        name: "mpc_connections",
        kind: Kind::Gauge,
        unit: "{connection}",
        help: "Open connections with the party.",
        labels: &["party_id", "protocol"],
        source: "bpf_iter",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.mpc.connections").sum()],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                emit(&[&it.party, &it.protocol], Value::Integer(it.open));
            }
        },
    },
    Metric {
        name: "mpc_connections_opened_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections with the party that were established, by this node's role.",
        labels: &["role", "party_id", "protocol"],
        source: "sock_ops, inet_sock_set_state",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.connections.opened")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                for (role, count) in Role::ALL.into_iter().zip(it.opened) {
                    emit(
                        &[role.name(), &it.party, &it.protocol],
                        Value::Integer(count),
                    );
                }
            }
        },
    },
    Metric {
        name: "mpc_connections_closed_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections with the party that ended: in order, by a reset, or because it did not answer any more.",
        labels: &["reason", "party_id", "protocol"],
        source: "sock_ops, inet_sock_set_state, sock.sk_err",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.connections.closed")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                for (end, count) in End::ALL.into_iter().zip(it.closed) {
                    emit(
                        &[end.name(), &it.party, &it.protocol],
                        Value::Integer(count),
                    );
                }
            }
        },
    },
    Metric {
        name: "mpc_connection_failures_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections to the party that this node began and that were not established.",
        labels: &["party_id", "protocol"],
        source: "sock_ops, inet_sock_set_state",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.connection.failures")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                emit(&[&it.party, &it.protocol], Value::Integer(it.failures));
            }
        },
    },
    Metric {
        name: "mpc_active_sessions",
        kind: Kind::Gauge,
        unit: "{process}",
        help: "Local processes with at least one open MPC connection.",
        labels: &["protocol"],
        source: "bpf_iter",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.mpc.active_sessions").sum()],
        read: |snapshot, emit| {
            with(snapshot, |network| {
                for sessions in network.sessions.iter().flatten() {
                    emit(&[&sessions.protocol], Value::Integer(sessions.processes));
                }
            });
        },
    },
    Metric {
        name: "mpc_messages_total",
        kind: Kind::Counter,
        unit: "{message}",
        help: "Calls that have sent payload to the party or received some from it; over UDP, datagrams.",
        labels: &["direction", "party_id", "protocol"],
        source: "sock_send_length, sock_recv_length, cgroup_skb",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.messages")],
        read: |snapshot, emit| {
            for it in messages(snapshot) {
                for (direction, count) in ["transmit", "receive"].into_iter().zip(it.messages) {
                    emit(&[direction, &it.party, &it.protocol], Value::Integer(count));
                }
            }
        },
    },
    Metric {
        name: "mpc_rounds_total",
        kind: Kind::Counter,
        unit: "{round}",
        help: "Times that something was received from the party after something was sent to it (an estimate).",
        labels: &["party_id", "protocol"],
        source: "sock_send_length, sock_recv_length",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.rounds")],
        read: |snapshot, emit| {
            for it in connection_messages(snapshot) {
                emit(&[&it.party, &it.protocol], Value::Integer(it.rounds));
            }
        },
    },
    Metric {
        name: "mpc_peer_wait_seconds",
        kind: Kind::Histogram,
        unit: "s",
        help: "From the last that was sent to the party until the first that was read from it after that (an estimate).",
        labels: &["party_id", "protocol"],
        source: "sock_send_length, sock_recv_length",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.peer.wait")],
        read: |snapshot, emit| {
            for it in connection_messages(snapshot) {
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
        help: "Time in which this node had sent and waited for the party's next message, the wait that is going on included (an estimate).",
        labels: &["party_id", "protocol"],
        source: "sock_send_length, sock_recv_length",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.waiting")],
        read: |snapshot, emit| {
            for it in connection_messages(snapshot) {
                let seconds = Value::Real(it.waited.as_secs_f64());
                emit(&[&it.party, &it.protocol], seconds);
            }
        },
    },
    Metric {
        name: "gpu_idle_waiting_seconds_total",
        kind: Kind::Counter,
        unit: "s",
        help: "Time in which the GPU can have been idle while this node waited for the party: in each interval the lesser of the two (an estimate).",
        labels: &["gpu_id", "party_id", "protocol"],
        source: "nvmlDeviceGetUtilizationRates, nvmlGpmMetricsGet, mpc_waiting_seconds_total",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.gpu.idle_waiting")],
        read: |snapshot, emit| {
            for it in snapshot.idle.iter().flat_map(|idle| &idle.waits) {
                emit(&[&it.gpu, &it.party, &it.protocol], Value::Real(it.seconds));
            }
        },
    },
    Metric {
        name: "mpc_unexpected_connections_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections that came to a protocol's port from, or that an MPC program made to, an address that is no party's; over UDP, such addresses that sent datagrams to the port, of the last 4096 each once; who it was is in the log.",
        labels: &["protocol", "role"],
        source: "sock_ops, inet_sock_set_state",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.unexpected_connections")],
        read: |snapshot, emit| {
            let strangers = traffic(snapshot).iter().filter(|it| it.unexpected);
            for it in strangers {
                for (role, count) in Role::ALL.into_iter().zip(it.opened) {
                    emit(&[&it.protocol, role.name()], Value::Integer(count));
                }
            }
        },
    },
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
            with(snapshot, |network| {
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
                    Value::Integer(1),
                );
            });
        },
    },
    Metric {
        name: "partymeter_network_gaps_total",
        kind: Kind::Counter,
        unit: "{gap}",
        help: "Times that the BPF program was detached by somebody: what it would have counted is missing.",
        labels: &["program"],
        source: "bpf_link_info",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.network.gaps")],
        read: |snapshot, emit| {
            with(snapshot, |network| {
                for gap in &network.gaps {
                    emit(&[gap.program], Value::Integer(gap.count));
                }
            });
        },
    },
    Metric {
        name: "partymeter_network_gap_seconds_total",
        kind: Kind::Counter,
        unit: "s",
        help: "Time in which the BPF program was detached at most, the gap that goes on included.",
        labels: &["program"],
        source: "bpf_link_info",
        reset: Reset::Agent,
        opentelemetry: &[otel("partymeter.network.gap.time")],
        read: |snapshot, emit| {
            with(snapshot, |network| {
                for gap in &network.gaps {
                    emit(&[gap.program], Value::Real(gap.seconds));
                }
            });
        },
    },
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
            with(snapshot, |network| {
                for program in &network.programs {
                    emit(&[program.program], Value::Integer(program.runs));
                }
            });
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
            with(snapshot, |network| {
                for program in &network.programs {
                    emit(
                        &[program.program],
                        Value::Real(seconds(program.nanoseconds)),
                    );
                }
            });
        },
    },
    Metric {
        name: "partymeter_bpf_map_entries",
        kind: Kind::Gauge,
        unit: "{entry}",
        help: "Entries of the BPF map that are in use.",
        labels: &["map"],
        source: "BPF maps",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.bpf.map.entries").sum()],
        read: |snapshot, emit| {
            with(snapshot, |network| {
                for map in &network.maps {
                    emit(&[map.map], Value::Integer(map.entries));
                }
            });
        },
    },
    Metric {
        name: "partymeter_bpf_map_capacity",
        kind: Kind::Gauge,
        unit: "{entry}",
        help: "Entries that the BPF map can hold; absent where only memory limits it.",
        labels: &["map"],
        source: "BPF maps",
        reset: Reset::None,
        opentelemetry: &[otel("partymeter.bpf.map.capacity").sum()],
        read: |snapshot, emit| {
            with(snapshot, |network| {
                for map in &network.maps {
                    if let Some(capacity) = map.capacity {
                        emit(&[map.map], Value::Integer(capacity));
                    }
                }
            });
        },
    },
    Metric {
        name: "partymeter_bpf_dropped_total",
        kind: Kind::Counter,
        unit: "{event}",
        help: "What the kernel side could not do, by reason.",
        labels: &["reason"],
        source: "BPF programs",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.bpf.dropped")],
        read: |snapshot, emit| {
            with(snapshot, |network| {
                for (reason, count) in &network.dropped {
                    emit(&[reason], Value::Integer(*count));
                }
            });
        },
    },
];

fn with(snapshot: &Snapshot, read: impl FnOnce(&Network)) {
    if let Some(network) = snapshot.network.as_deref() {
        read(network);
    }
}

fn times(times: &Times) -> Value<'_> {
    Value::Histogram(Histogram {
        bounds: &Times::BOUNDS,
        buckets: &times.buckets,
        sum: times.sum,
        fine: times.fine.as_deref(),
    })
}

fn traffic(snapshot: &Snapshot) -> &[Traffic] {
    snapshot
        .network
        .as_deref()
        .map_or(&[], |network| &network.traffic)
}

/// What has connections.
fn connections(snapshot: &Snapshot) -> impl Iterator<Item = &Traffic> {
    traffic(snapshot).iter().filter(|it| !it.datagrams)
}

/// As [`connections`]; nothing where their messages are not counted, for 0 would be wrong.
fn connection_messages(snapshot: &Snapshot) -> impl Iterator<Item = &Traffic> {
    messages(snapshot).filter(|it| !it.datagrams)
}

/// Where messages are counted: datagrams always are.
fn messages(snapshot: &Snapshot) -> impl Iterator<Item = &Traffic> {
    let network = snapshot.network.as_deref();
    let calls = network.is_some_and(Network::counts_messages);
    let all = traffic(snapshot).iter();
    all.filter(move |it| calls || it.datagrams)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 104 days of run time"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
