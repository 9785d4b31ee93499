//! The validated configuration: everything in it is meaningful and consistent.
//!
//! From below: `parties`, `raw` and `error` are plain types; `value` and `address` parse single values; `reader` collects
//! errors, `limits`, `lists`, `unknown_keys`, `values`, `sections` and `otlp` read the parts of a file with it, and
//! `resolve` puts them together.

mod address;
mod conflicts;
mod error;
mod file;
mod frameworks;
mod level;
mod limits;
mod lists;
pub mod options;
pub mod otlp;
mod parties;
mod raw;
mod reader;
mod resolve;
mod sections;
mod unknown_keys;
mod value;
mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

pub use error::ConfigError;
pub use file::{not_answered, read, resolve, text_again};
pub use level::{LEVELS, level_name, level_named};
pub use otlp::{Histograms, Otlp, Signal, Temporality};
pub use parties::{Endpoint, Host, Party, Protocol, Transport};
pub use raw::{HostEnv, Options, RawValue};

/// The configuration of the agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The label `node`.
    pub node: String,
    /// How often the sources are read; 200 ms or more.
    pub interval: Duration,
    /// This node's own party, for OTLP's resource and the log.
    pub party_id: Option<String>,
    /// The other parties. Empty: every address on a protocol's port is a party of its own.
    pub parties: Vec<Party>,
    /// The protocols; not empty: the built-in ones where none is configured.
    pub protocols: Vec<Protocol>,
    /// How to count bytes.
    pub network: Network,
    /// Where to write every connection down; `None`: nowhere.
    pub ledger: Option<Ledger>,
    /// What to read of the GPUs.
    pub gpu: Gpu,
    /// Whether the host source is on.
    pub host_enabled: bool,
    /// Addresses of the metrics page; not empty.
    pub prometheus_listen: Vec<SocketAddr>,
    /// Host names that requests for it may name, beside those that are always accepted.
    pub prometheus_hosts: Vec<String>,
    /// Where to administer the agent, and who may.
    pub admin: Admin,
    /// What to send by OTLP.
    pub otlp: Otlp,
    /// How to log.
    pub log: Log,
}

/// What to read of the GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Whether the source is on.
    pub enabled: bool,
    /// NVML: a file, or a name that the loader finds.
    pub library: String,
    /// Whether processes have series of their own.
    pub processes: bool,
    /// Whether the page also has the names of dcgm-exporter.
    pub dcgm_names: bool,
}

impl Config {
    /// Whether it names a protocol on UDP.
    pub fn wants_udp(&self) -> bool {
        let mut all = self.protocols.iter();
        all.any(|protocol| protocol.transport == Transport::Udp)
    }

    /// Whether single connections are recorded, in the ledger or as spans.
    pub fn wants_records(&self) -> bool {
        self.ledger.is_some() || self.wants_connection_spans()
    }

    /// Whether each connection that ends is sent as a span.
    pub fn wants_connection_spans(&self) -> bool {
        self.otlp.connection_spans && self.otlp.receivers[Signal::Traces as usize].is_some()
    }
}

/// The section `[network]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether the network source is on.
    pub enabled: bool,
    /// Whether to measure round-trip times.
    pub latency: bool,
    /// Whether to count messages, rounds and waiting times.
    pub messages: bool,
    /// The cgroup whose sockets are counted; `None`: where cgroup2 is mounted.
    pub cgroup: Option<PathBuf>,
    /// Where counters are pinned, so that they outlive the agent.
    pub bpf_pin_path: Pin,
    /// Where MPC programs may connect to besides their parties.
    pub allow: Vec<IpNet>,
    /// Most automatic parties; 1 to 4096.
    pub max_auto_parties: u32,
    /// What to do about a host name that does not resolve at the start.
    pub on_unresolved: OnUnresolved,
    /// How often host names are looked up again; 1 s to 1 h.
    pub resolve_interval: Duration,
}

/// The section `[ledger]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The directory.
    pub path: PathBuf,
    /// The most that all files take together. Unit: bytes; 1 MiB to 64 GiB.
    pub max_size: u64,
    /// How long a connection is kept; 1 h to 366 d.
    pub retention: Duration,
}

/// Where counters are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Under `/sys/fs/bpf`, where a BPF file system is mounted there.
    Mounted,
    /// In this directory.
    At(PathBuf),
    /// Nowhere.
    Nothing,
}

/// The section `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where the agent listens.
    pub socket: AdminSocket,
    /// The group that may use it besides root: a name or a number.
    pub group: Option<String>,
}

/// The socket of administration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminSocket {
    /// At [`AdminSocket::STANDARD`], if that is possible.
    Standard,
    /// At this path, which is absolute and short enough for a socket.
    At(PathBuf),
    /// Nowhere.
    Off,
}

impl AdminSocket {
    /// The default path.
    pub const STANDARD: &str = "/run/partymeter/admin.sock";

    /// Its path; `None`: there is none.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Standard => Some(Path::new(Self::STANDARD)),
            Self::At(path) => Some(path),
            Self::Off => None,
        }
    }
}

/// What to do about a host name that does not resolve at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnresolved {
    /// Do not start.
    Refuse,
    /// Warn, start without it and try again.
    Retry,
}

/// The section `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least severe level that is shown; `None`: nothing.
    pub level: Option<tracing::Level>,
    /// The same for messages of the BPF programs; `None`: off, which is the default.
    pub bpf_level: Option<tracing::Level>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A file with every default, which is what runs without `--config`.
pub const DEFAULT: &str = include_str!("default.toml");

#[cfg(test)]
pub(crate) mod tests;
