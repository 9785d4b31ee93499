//! Parties and protocols, and how people write them.

use std::{fmt, ops::RangeInclusive};

use ipnet::IpNet;

/// Another party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The label `party_id`.
    pub id: String,
    /// Its addresses; not empty.
    pub endpoints: Vec<Endpoint>,
}

/// An address, prefix or host name, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The part before the port.
    pub host: Host,
    /// The one port that the party listens on; `None`: the party has every port. Only for single addresses and names.
    pub port: Option<u16>,
}

/// The host part of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A prefix with no host bits set; a single address is /32 or /128. v4-mapped addresses are IPv4 here.
    Prefix(IpNet),
    /// A host name, which is looked up when the network source starts.
    Name(String),
}

/// `10.0.0.2`, `10.0.1.0/24`, `[2001:db8::7]:5001`, `party1.example.org:5001`.
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

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Prefix(net) => net.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A protocol of multi-party computation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The label `protocol`.
    pub name: String,
    /// The transport of its ports.
    pub transport: Transport,
    /// Ports that a party listens on; not empty, and no other protocol of the same transport has them.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// A transport; each has ports of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// `TCP` or `UDP`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

impl Protocol {
    /// `TCP 1212-1220, 5000`.
    pub fn ports_written(&self) -> String {
        let range = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let ranges: Vec<String> = self.ports.iter().map(range).collect();
        format!("{} {}", self.transport.name(), ranges.join(", "))
    }
}
