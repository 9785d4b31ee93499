//! Connections and the processes that have some.

use agent_ebpf::{End, Role};

use super::series::{LOADED, connections, network};
use crate::model::metric::{Kind, Metric, MetricValue, Reset, otel};

pub(super) static METRICS: &[Metric] = &[
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
                emit(&[&it.party, &it.protocol], MetricValue::Integer(it.open));
            }
        },
    },
    Metric {
        name: "mpc_connections_opened_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections established with the party, by this node's role.",
        labels: &["role", "party_id", "protocol"],
        source: "sock_ops, inet_sock_set_state",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.connections.opened")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                for (role, count) in Role::ALL.into_iter().zip(it.opened) {
                    emit(
                        &[role.name(), &it.party, &it.protocol],
                        MetricValue::Integer(count),
                    );
                }
            }
        },
    },
    Metric {
        name: "mpc_connections_closed_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Connections with the party that ended: in order, by a reset, or by a timeout.",
        labels: &["reason", "party_id", "protocol"],
        source: "sock_ops, inet_sock_set_state, sock.sk_err",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.connections.closed")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                for (end, count) in End::ALL.into_iter().zip(it.closed) {
                    emit(
                        &[end.name(), &it.party, &it.protocol],
                        MetricValue::Integer(count),
                    );
                }
            }
        },
    },
    Metric {
        name: "mpc_connection_failures_total",
        kind: Kind::Counter,
        unit: "{connection}",
        help: "Attempts of this node to connect to the party that failed.",
        labels: &["party_id", "protocol"],
        source: "sock_ops, inet_sock_set_state",
        reset: LOADED,
        opentelemetry: &[otel("partymeter.mpc.connection.failures")],
        read: |snapshot, emit| {
            for it in connections(snapshot) {
                emit(
                    &[&it.party, &it.protocol],
                    MetricValue::Integer(it.failures),
                );
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
            for sessions in network(snapshot)
                .into_iter()
                .flat_map(|it| it.sessions.iter().flatten())
            {
                emit(
                    &[&sessions.protocol],
                    MetricValue::Integer(sessions.processes),
                );
            }
        },
    },
];
