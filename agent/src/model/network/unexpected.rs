//! Connections with addresses of no party.

use agent_ebpf::Role;

use super::series::{LOADED, traffic};
use crate::model::metric::{Kind, Metric, MetricValue, otel};

pub(super) static METRICS: &[Metric] = &[Metric {
    name: "mpc_unexpected_connections_total",
    kind: Kind::Counter,
    unit: "{connection}",
    help: "Connections to a protocol's port, or of an MPC program, whose remote address belongs to no party; over UDP, such addresses that sent datagrams, each of the last 4096 once; the log has the addresses.",
    labels: &["protocol", "role"],
    source: "sock_ops, inet_sock_set_state",
    reset: LOADED,
    opentelemetry: &[otel("partymeter.mpc.unexpected_connections")],
    read: |snapshot, emit| {
        for it in traffic(snapshot).iter().filter(|it| it.unexpected) {
            for (role, count) in Role::ALL.into_iter().zip(it.opened) {
                emit(&[&it.protocol, role.name()], MetricValue::Integer(count));
            }
        }
    },
}];
