//! The metrics of the network source.

use super::{Kind, Metric, Value};
use crate::sample::{Network, Snapshot, Traffic};

const LOADED: &str = "when the programs are loaded";

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "network_bytes_total",
        kind: Kind::Counter,
        unit: "By",
        help: "TCP payload exchanged with the party, each byte once: handed to the network, or received in order.",
        labels: &["direction", "party_id", "protocol"],
        source: "tcp_sock.snd_nxt, tcp_sock.bytes_received",
        reset: LOADED,
        opentelemetry: "system.network.io",
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
        opentelemetry: "partymeter.network.retransmitted",
        read: |snapshot, emit| {
            for Traffic {
                party,
                protocol,
                retransmit,
                ..
            } in traffic(snapshot)
            {
                emit(&[party, protocol], Value::Integer(*retransmit));
            }
        },
    },
    Metric {
        name: "partymeter_network_accounting_info",
        kind: Kind::Info,
        unit: "1",
        help: "How bytes are counted on this kernel.",
        labels: &["bytes", "kernel"],
        source: "uname(2)",
        reset: "",
        opentelemetry: "partymeter.network.accounting",
        read: |snapshot, emit| {
            with(snapshot, |network| {
                let accounting = &network.accounting;
                emit(&[accounting.bytes, &accounting.kernel], Value::Integer(1));
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
        reset: LOADED,
        opentelemetry: "partymeter.bpf.program.runs",
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
        reset: LOADED,
        opentelemetry: "partymeter.bpf.program.time",
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
        reset: "",
        opentelemetry: "partymeter.bpf.map.entries",
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
        reset: "",
        opentelemetry: "partymeter.bpf.map.capacity",
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
        opentelemetry: "partymeter.bpf.dropped",
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

fn traffic(snapshot: &Snapshot) -> &[Traffic] {
    snapshot
        .network
        .as_deref()
        .map_or(&[], |network| &network.traffic)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 104 days of run time"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
