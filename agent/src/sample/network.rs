//! What the kernel has counted.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::Times;

/// What the kernel has counted.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// One entry for each pair of party and protocol that has a slot.
    pub traffic: Vec<Traffic>,
    /// One entry for each protocol; `None` while the processes cannot be listed.
    pub sessions: Option<Vec<Sessions>>,
    /// What does not work on this machine or with these privileges, in one line each.
    pub limits: Vec<String>,
    /// Events that the programs could not handle since they were loaded, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Entries and capacity of each map.
    pub maps: Vec<MapFill>,
    /// Runs and run time of each program, while the kernel's BPF statistics are on.
    pub programs: Vec<ProgramRuns>,
    /// Times in which programs were detached, since the agent started.
    pub gaps: Vec<Gap>,
    /// How this kernel counts.
    pub accounting: Accounting,
    /// When the programs were loaded and began to count.
    pub since: Option<SystemTime>,
    /// When the counters were read, by the kernel's monotonic clock.
    pub read: Duration,
}

impl Network {
    /// Whether messages, rounds and waiting are counted. If not, their 0 means nothing.
    pub fn counts_messages(&self) -> bool {
        self.accounting.messages != "off"
    }
}

/// The traffic with one party over one protocol. Sums begin when the programs are loaded.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The party's id: configured, an address, `unknown` or `other`.
    pub party: Arc<str>,
    /// The protocol's name, or `other`.
    pub protocol: Arc<str>,
    /// Payload sent, each byte once. Unit: bytes.
    pub transmit: u64,
    /// Payload received in order. Unit: bytes.
    pub receive: u64,
    /// Payload retransmitted. Unit: bytes.
    pub retransmit: u64,
    /// Segments with payload, sent and received.
    pub segments: [u64; 2],
    /// Connections established, by [`agent_ebpf::Role`].
    pub opened: [u64; agent_ebpf::Role::ALL.len()],
    /// Connections that ended, by [`agent_ebpf::End`].
    pub closed: [u64; agent_ebpf::End::ALL.len()],
    /// Attempts of this node to connect that failed.
    pub failures: u64,
    /// Open connections.
    pub open: u64,
    /// Mean smoothed round-trip time of the open connections, in seconds; `None` if none has one.
    pub smoothed_rtt: Option<f64>,
    /// Round-trip times; `None` before the first.
    pub latency: Option<Times>,
    /// Calls that sent and calls that received payload.
    pub messages: [u64; 2],
    /// Receives that followed a send.
    pub rounds: u64,
    /// Times from the send to the receive; `None` before the first.
    pub waiting: Option<Times>,
    /// Total time between a send and the next receive, including the current wait.
    pub waited: Duration,
    /// Whether the remote addresses belong to no party.
    pub unexpected: bool,
    /// Whether datagrams are counted: then nothing is known of connections and segments, messages are datagrams, and
    /// unexpected addresses are counted instead of connections.
    pub datagrams: bool,
}

/// Local processes with an open MPC connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// The protocol's name, or `other`.
    pub protocol: Arc<str>,
    /// The number of processes.
    pub processes: u64,
}

/// The fill of a BPF map.
#[derive(Clone, Copy, Debug)]
pub struct MapFill {
    /// Its name, in lower case.
    pub map: &'static str,
    /// Entries in use.
    pub entries: u64,
    /// Entries that fit; `None`: only memory limits them.
    pub capacity: Option<u64>,
}

/// The kernel's statistics of one program (`bpf_prog_info`, Linux 5.1; `kernel.bpf_stats_enabled`).
#[derive(Clone, Copy, Debug)]
pub struct ProgramRuns {
    /// Its name.
    pub program: &'static str,
    /// `run_cnt`.
    pub runs: u64,
    /// `run_time_ns`.
    pub nanoseconds: u64,
}

/// Times in which a program was detached by somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gap {
    /// Its name.
    pub program: &'static str,
    /// Their number, including the current one.
    pub count: u64,
    /// Upper bound of their total length, in seconds.
    pub seconds: f64,
}

/// How the bytes are counted, for `partymeter_network_accounting_info`.
#[derive(Clone, Debug, Default)]
pub struct Accounting {
    /// The hook that claims and the one that settles.
    pub bytes: &'static str,
    /// Where round-trip times come from: `sock_ops`, `settle` (sampled) or `off`.
    pub latency: &'static str,
    /// Where messages and rounds come from: `sock_send_length`, `tcp_sendmsg`, or `off`.
    pub messages: &'static str,
    /// Where datagrams are counted: `cgroup_skb`, or `off`.
    pub udp: &'static str,
    /// Whether counters outlive the agent: `on` or `off`.
    pub pin: &'static str,
    /// `uname -r`.
    pub kernel: String,
}
