//! Raw facts, as the sources read them. A fact that is not known is `None` or not in the list; no field
//! holds a value that stands for "missing".

pub mod export_stats;
pub mod gpu;
pub mod reload_status;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What the kernel has counted.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// One entry for each pair of party and protocol that has a slot.
    pub traffic: Vec<Traffic>,
    /// One entry for each protocol; `None` while the processes cannot be looked at.
    pub sessions: Option<Vec<Sessions>>,
    /// What this machine or these privileges do not allow, in one line each; all else goes on.
    pub limits: Vec<String>,
    /// How often something did not fit or could not be done, by reason, since the programs were loaded.
    pub dropped: Vec<(&'static str, u64)>,
    /// Entries and capacity of each map; capacity is `None` where only memory limits it.
    pub maps: Vec<MapFill>,
    /// Runs and run time of each program, while the kernel's BPF statistics are on.
    pub programs: Vec<ProgramRuns>,
    /// For how long programs were not attached that should have been, since the agent started.
    pub gaps: Vec<Gap>,
    /// By what means this kernel counts.
    pub accounting: Accounting,
    /// When the programs were loaded: since then is counted.
    pub since: Option<SystemTime>,
    /// When it was read, by the kernel's monotonic clock.
    pub read: Duration,
}

impl Network {
    /// Whether messages, rounds and waiting are counted; where not, 0 would be wrong.
    pub fn counts_messages(&self) -> bool {
        self.accounting.messages != "off"
    }
}

/// How long GPUs were idle while this node waited for a party.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    /// For each GPU that reads, and each pair that has been waited for.
    pub waits: Vec<IdleWait>,
}

/// How long one GPU was idle while one party was waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct IdleWait {
    /// As [`gpu::Gpu::id`].
    pub gpu: Arc<str>,
    /// As [`Traffic::party`].
    pub party: Arc<str>,
    /// As [`Traffic::protocol`].
    pub protocol: Arc<str>,
    /// At most so long since the agent started, in seconds.
    pub seconds: f64,
}

/// What goes on with one party over one protocol. Sums are since the programs were loaded.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The party's id: configured, an address, `unknown` or `other`.
    pub party: Arc<str>,
    /// The protocol's name, or `other`.
    pub protocol: Arc<str>,
    /// Payload handed to the network, each byte once. Unit: bytes.
    pub transmit: u64,
    /// Payload received in order. Unit: bytes.
    pub receive: u64,
    /// Payload sent again. Unit: bytes.
    pub retransmit: u64,
    /// Segments with payload, sent and received.
    pub segments: [u64; 2],
    /// Connections that were established, by [`agent_ebpf::Role`].
    pub opened: [u64; agent_ebpf::Role::ALL.len()],
    /// Connections that ended, by [`agent_ebpf::End`].
    pub closed: [u64; agent_ebpf::End::ALL.len()],
    /// Connections begun here that were not established.
    pub failures: u64,
    /// Open connections.
    pub open: u64,
    /// Mean of the open connections' smoothed round-trip times, in seconds; `None` where none has any.
    pub smoothed_rtt: Option<f64>,
    /// Round-trip times; `None` before the first.
    pub latency: Option<Times>,
    /// Calls that have sent, and calls that have received payload.
    pub messages: [u64; 2],
    /// Times that something was received after something was sent.
    pub rounds: u64,
    /// How long that took each time; `None` before the first.
    pub waiting: Option<Times>,
    /// For how long this node had sent and received nothing from the party yet, the wait that is going on included.
    pub waited: Duration,
    /// Whether connections here are unexpected: the address is no party's.
    pub unexpected: bool,
    /// Whether it is datagrams that are counted: then there is nothing of connections and their segments, messages are
    /// datagrams, and what is unexpected are addresses.
    pub datagrams: bool,
}

/// A connection with a party and what it has moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// As [`Traffic::party`].
    pub party: Arc<str>,
    /// As [`Traffic::protocol`].
    pub protocol: Arc<str>,
    /// Which side opened it.
    pub role: agent_ebpf::Role,
    /// This side's address and port.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// When it was established; or, where it is older than the agent, since when it is counted.
    pub began: SystemTime,
    /// When it ended; or, where it is open, when it was looked at.
    pub ended: SystemTime,
    /// How it ended; `None`: it is open.
    pub end: Option<agent_ebpf::End>,
    /// Whether it is older than `began`.
    pub adopted: bool,
    /// Payload handed to the network since `began`, each byte once. Unit: bytes.
    pub transmit: u64,
    /// Payload received in order since `began`. Unit: bytes.
    pub receive: u64,
    /// Payload sent again since `began`. Unit: bytes.
    pub retransmit: u64,
    /// The smoothed round-trip time at the end, in seconds; `None`: none was measured.
    pub smoothed_rtt: Option<f64>,
}

/// Who wants to know of connections one by one.
pub trait Witness: Send {
    /// One has ended.
    fn ended(&mut self, connection: &Connection);

    /// Whether it wants to know all that are open, now.
    fn wants_open(&self) -> bool {
        false
    }

    /// All that are open, if it wanted to know.
    fn open(&mut self, _connections: Vec<Connection>) {}
}

/// A histogram of times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// Samples at or under each of [`Times::BOUNDS`], not cumulative; the last is above all.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
    /// Sum of all samples, in seconds.
    pub sum: f64,
    /// The same samples in buckets of equal ratio, where they are wanted.
    pub fine: Option<Box<Exponential>>,
}

/// Samples in buckets of equal ratio, as in OpenTelemetry's exponential histograms: the bucket `i` holds what is above
/// `base^i` and at most `base^(i+1)` seconds, with `base` = 2^(2^-[`Exponential::SCALE`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    /// Samples shorter than [`Exponential::ZERO`].
    pub zero: u64,
    /// Samples in the buckets from [`Exponential::OFFSET`] on.
    pub buckets: [u64; Self::BUCKETS],
}

impl Times {
    /// Upper bounds, in seconds.
    pub const BOUNDS: [f64; 17] = [
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
        0.5, 1.0, 2.5, 5.0, 10.0,
    ];
}

impl Exponential {
    /// Buckets are 2^(1/8) wide: 9 %, a little wider than the kernel side's.
    pub const SCALE: i32 = 3;
    /// 2^-20 s: what is shorter counts as zero. Unit: seconds.
    pub const ZERO: f64 = 1.0 / 1_048_576.0;
    /// The bucket that begins with [`Exponential::ZERO`].
    pub const OFFSET: i32 = -160;
    /// Up to the longest time that the kernel side tells apart, 16.8 s, and one for what is longer.
    pub const BUCKETS: usize = 194;

    /// Adds samples of which the longest can be `seconds`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "its range is checked"
    )]
    pub fn add(&mut self, seconds: f64, count: u64) {
        if seconds < Self::ZERO {
            self.zero += count;
            return;
        }
        let per_octave = f64::from(1 << Self::SCALE);
        let bucket = (seconds.log2() * per_octave).ceil() - 1.0 - f64::from(Self::OFFSET);
        // As a number it saturates: what is infinite falls into the last.
        self.buckets[(bucket as usize).min(Self::BUCKETS - 1)] += count;
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            zero: 0,
            buckets: [0; Self::BUCKETS],
        }
    }
}

/// Local processes that hold an open MPC connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// The protocol's name, or `other`.
    pub protocol: Arc<str>,
    /// How many.
    pub processes: u64,
}

/// How full a BPF map is.
#[derive(Clone, Copy, Debug)]
pub struct MapFill {
    /// Its name, in lower case.
    pub map: &'static str,
    /// Entries in use.
    pub entries: u64,
    /// Entries that fit.
    pub capacity: Option<u64>,
}

/// What the kernel says of one program (`bpf_prog_info`, Linux 5.1; `kernel.bpf_stats_enabled`).
#[derive(Clone, Copy, Debug)]
pub struct ProgramRuns {
    /// Its name.
    pub program: &'static str,
    /// `run_cnt`.
    pub runs: u64,
    /// `run_time_ns`.
    pub nanoseconds: u64,
}

/// Times in which a program was not attached, because somebody had detached it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gap {
    /// Its name.
    pub program: &'static str,
    /// How many there were, the one that goes on included.
    pub count: u64,
    /// How long they have lasted at most, in seconds.
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

/// The machine and the agent itself.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Memory in use by the system, in bytes: total less available (`/proc/meminfo`).
    pub memory_used: Option<u64>,
    /// The agent's own process.
    pub process: Process,
}

/// The agent's own process, from `/proc/self`.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// User and system CPU time, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit of file descriptors.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// When it started, in seconds since 1970.
    pub start_time: Option<f64>,
}

/// Everything known at one moment; what an exporter encodes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was put together.
    pub taken: SystemTime,
    /// When the agent started.
    pub started: SystemTime,
    /// The node's name, for the label `node`.
    pub node: Arc<str>,
    /// `None` while the source is down, switched off or late.
    pub network: Option<Arc<Network>>,
    /// `None` while the source is switched off.
    pub gpus: Option<gpu::Gpus>,
    /// As `network`; it is made from the two.
    pub idle: Option<Arc<Idle>>,
    /// As `network`.
    pub host: Option<Arc<Host>>,
    /// Every enabled source's health.
    pub sources: Vec<SourceHealth>,
    /// How the configuration is doing.
    pub configuration: Configuration,
    /// How sending by OTLP is doing, by signal that is sent.
    pub otlp: Vec<Sending>,
    /// How the ledger is doing; `None` where there is none.
    pub ledger: Option<Ledger>,
}

/// How writing the ledger of connections is doing; the counts are since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Connections that are in a file.
    pub written: u64,
    /// Those that never will be: too many waited already.
    pub overflow: u64,
    /// Those that never will be: they could not be written.
    pub failed: u64,
    /// Those that wait to be written.
    pub pending: u64,
    /// Whether the last attempt to write succeeded.
    pub is_writable: bool,
    /// What cannot be done at the moment, in one line each, with the way out.
    pub problems: Vec<String>,
}

/// How sending one signal by OTLP is doing.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The value of the label `signal`: `metrics`, `logs` or `traces`.
    pub signal: &'static str,
    /// Whether the receiver took the last message; `None` before the first.
    pub up: Option<bool>,
    /// Data points, log records or spans that it has taken.
    pub sent: u64,
    /// Those that were not sent or not taken, by [`Dropped`].
    pub dropped: [u64; Dropped::ALL.len()],
}

/// Why something was not sent by OTLP, or not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The receiver has taken the message, but not this.
    Rejected,
    /// The receiver will not take the message at all.
    Refused,
    /// It could not be sent in time, and newer points with the same or more in them take its place.
    Replaced,
    /// Too much was waiting.
    Overflow,
    /// The agent ended before it could be sent.
    Shutdown,
}

impl Dropped {
    /// Every reason, in the order of [`Sending::dropped`].
    pub const ALL: [Self; 5] = [
        Self::Rejected,
        Self::Refused,
        Self::Replaced,
        Self::Overflow,
        Self::Shutdown,
    ];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Overflow => "overflow",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How the configuration is doing.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// Whether it was right when it was last read.
    pub success: bool,
    /// When it was last taken in.
    pub taken: SystemTime,
}

/// How one source is doing; apart from its data, so that trouble never passes for a value.
#[derive(Clone, Debug)]
pub struct SourceHealth {
    /// The value of the label `source`.
    pub source: Arc<str>,
    /// Why it is down, if it is; in one line, with the mend.
    pub down: Option<String>,
    /// The kind of that.
    pub kind: Option<FailureKind>,
    /// Failures since the start by kind, every kind from the start.
    pub errors: [u64; FailureKind::ALL.len()],
    /// How long its rounds took.
    pub durations: Durations,
    /// Age of its newest sample, in seconds; `None` before the first.
    pub age_seconds: Option<f64>,
}

/// Why a source could not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A capability or permission is missing.
    Permission,
    /// This kernel, driver or machine does not offer it.
    Unsupported,
    /// Something configured was not found.
    NotFound,
    /// What it would read is not there: no such hardware, or no driver for it. No fault of this node.
    Absent,
    /// What it has read is there no more, or answers no more.
    Lost,
    /// A read failed.
    Read,
    /// It did not answer in time.
    Deadline,
}

impl FailureKind {
    /// Every kind, in the order of [`SourceHealth::errors`].
    pub const ALL: [Self; 7] = [
        Self::Permission,
        Self::Unsupported,
        Self::NotFound,
        Self::Absent,
        Self::Lost,
        Self::Read,
        Self::Deadline,
    ];

    /// The value of the label `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Unsupported => "unsupported",
            Self::NotFound => "not_found",
            Self::Absent => "absent",
            Self::Lost => "lost",
            Self::Read => "read",
            Self::Deadline => "deadline",
        }
    }
}

/// A histogram of durations in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// Observations at or under each of [`Durations::BOUNDS`], not cumulative; the last is above all.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
    /// Sum of all observations, in seconds.
    pub sum: f64,
}

impl Durations {
    /// Upper bounds, in seconds.
    pub const BOUNDS: [f64; 9] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0,
    ];

    /// Adds one observation.
    pub fn observe(&mut self, seconds: f64) {
        let at = Self::BOUNDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(Self::BOUNDS.len());
        self.buckets[at] += 1;
        self.sum += seconds;
    }
}
