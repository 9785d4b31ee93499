//! The validated configuration: everything in it is meaningful, nothing in it needs a second look.

mod conflicts;
mod file;
mod frameworks;
mod limits;
mod lists;
pub mod options;
pub mod otlp;
mod resolve;
mod value;

pub use file::{not_answered, read, resolve, text_again};
pub use otlp::{Histograms, Otlp, Signal, Temporality};
pub use resolve::{Given, LEVELS, Options, Surroundings, level_name, level_named};

use std::{
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use crate::text::printable_to;

/// What the agent runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The label `node`.
    pub node: String,
    /// How often the sources are read; 200 ms or more.
    pub interval: Duration,
    /// This node's own party, for the resource of OTLP and the log.
    pub party_id: Option<String>,
    /// The other parties. Empty: every address on a protocol's port is a party of its own.
    pub parties: Vec<Party>,
    /// The protocols, never empty: the built-in table where none is configured.
    pub protocols: Vec<Protocol>,
    /// Where to count.
    pub network: Network,
    /// What to read of the GPUs.
    pub gpu: Gpu,
    /// Whether the host source is on.
    pub host_enabled: bool,
    /// Addresses of the metrics page; not empty.
    pub prometheus_listen: Vec<SocketAddr>,
    /// Names that requests for it may be for, beside those that are always taken.
    pub prometheus_hosts: Vec<String>,
    /// Who may change the running agent, and where.
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

/// One other party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The label `party_id`.
    pub id: String,
    /// Where it is; not empty.
    pub endpoints: Vec<Endpoint>,
}

/// An address, prefix or host name, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub host: Host,
    /// The one port that the party listens on; `None`: whatever port, this is the party. Only for single
    /// addresses and names.
    pub port: Option<u16>,
}

/// The host part of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A prefix with no host bits set; a single address is /32 or /128. v4-mapped addresses are IPv4 here.
    Prefix(IpNet),
    /// To be resolved when the network source starts.
    Name(String),
}

/// As people write it: `10.0.0.2`, `10.0.1.0/24`, `[2001:db8::7]:5001`, `party1.example.org:5001`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.to_string();
        match self.port {
            None => f.write_str(&host),
            Some(port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Some(port) => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// # Errors
    /// What is wrong and what would be right, in one line.
    fn from_str(text: &str) -> Result<Self, String> {
        value::place(text).map_err(|value::Fault { what, mend }| format!("{what}; {mend}"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Prefix(net) => net.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// One protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The label `protocol`.
    pub name: String,
    /// What its ports are ports of.
    pub transport: Transport,
    /// Ports that a party listens on; not empty, no overlap with another protocol's of the same transport.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// What carries a protocol. Each has ports of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

impl Protocol {
    /// Its transport and ports as people write them: `TCP 1212-1220, 5000`.
    pub fn ports_written(&self) -> String {
        let range = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let ranges: Vec<String> = self.ports.iter().map(range).collect();
        format!("{} {}", self.transport.name(), ranges.join(", "))
    }
}

impl Config {
    /// Whether it names a protocol on UDP.
    pub fn wants_udp(&self) -> bool {
        let mut all = self.protocols.iter();
        all.any(|protocol| protocol.transport == Transport::Udp)
    }

    /// Whether anybody is to be told of connections one by one.
    pub fn wants_records(&self) -> bool {
        self.network.ledger.is_some() || self.wants_connection_spans()
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
    /// Whether to take round-trip times.
    pub latency: bool,
    /// Whether to count messages, rounds and waiting times.
    pub rhythm: bool,
    /// The cgroup whose sockets the kernel tells of; `None`: where cgroup2 is mounted.
    pub cgroup: Option<PathBuf>,
    /// Where what is counted is pinned, so that it outlives the agent.
    pub pin: Pin,
    /// Where MPC programs may connect to beside their parties.
    pub allow: Vec<IpNet>,
    /// Most automatic parties; 1 to 4096.
    pub max_auto_parties: u32,
    /// What to do about a host name that does not resolve at the start.
    pub unresolved: Unresolved,
    /// How often host names are looked up again; 1 s to 1 h.
    pub resolve_interval: Duration,
    /// Where to write every connection down; `None`: nowhere.
    pub ledger: Option<Ledger>,
}

/// Where to write every connection down, and how much of it to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The directory.
    pub directory: PathBuf,
    /// What all of it may take. Unit: MiB; 1 to 65,536.
    pub mebibytes: u32,
    /// How old the oldest may be; 1 h to 1 year.
    pub age: Duration,
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
    /// Who may use it beside root: a group's name or number.
    pub group: Option<String>,
}

/// Where the agent listens for who may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminSocket {
    /// At [`AdminSocket::STANDARD`], if that can be had.
    Standard,
    /// At this path, which is absolute and short enough for a socket.
    At(PathBuf),
    /// Nowhere.
    Off,
}

impl AdminSocket {
    /// Where it is unless the configuration says otherwise.
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
pub enum Unresolved {
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
    /// The least severe level to show; `None`: nothing.
    pub level: Option<tracing::Level>,
    /// The same for the kernel side's messages; `None`: off, which is the default.
    pub kernel: Option<tracing::Level>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration that says what the defaults are; what runs without `--config`.
pub const DEFAULT: &str = include_str!("default.toml");

/// One thing that is wrong in what the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File and line, flag, or variable; empty if it stands nowhere.
    pub place: String,
    /// The key, as in the file; empty if it is about the file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub mend: String,
}

impl Problem {
    fn new(place: String, key: &str, fault: value::Fault) -> Self {
        Self {
            place,
            key: key.to_owned(),
            what: fault.what,
            mend: fault.mend,
        }
    }
}

/// The most that is shown of each part of a [`Problem`]. Unit: characters.
const LONGEST: usize = 1024;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file may be somebody else's: what is shown of it must not move the cursor or fill the log.
        let [place, key, what, mend] =
            [&self.place, &self.key, &self.what, &self.mend].map(|text| {
                if text.is_empty() {
                    String::new()
                } else {
                    printable_to(text, LONGEST)
                }
            });
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{what}; {mend}")
    }
}

#[cfg(test)]
pub(crate) mod tests;
