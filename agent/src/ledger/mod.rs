//! The ledger: every MPC connection on a line of its own, for two parties to lay side by side. `writer` takes
//! connections in while the agent runs and `book` writes them into the files of `files`; `export` prints it, `compare`
//! compares what two parties have printed.
//!
//! It is sensitive, for it has addresses and says when a computation went on: off unless configured, for root only, and
//! bounded in size and age.

mod book;
pub mod compare;
pub mod export;
mod files;
mod lines;
mod segment;
mod status;
pub mod writer;

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use agent_ebpf::{End, Role};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::sample::Connection;

/// One connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose ledger it is: the node, and its own party if it has one.
    pub node: String,
    /// See `node`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub party_id: Option<String>,
    /// The other side: a party's id, an address, `unknown` or `other`.
    pub peer: String,
    /// The protocol's name, or `other`.
    pub protocol: String,
    /// `initiator`: this side opened it; or `acceptor`.
    pub role: String,
    /// This side's address and port.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// When it was established; where `adopted`, since when it is counted.
    pub began: Moment,
    /// When it ended, or was looked at.
    pub ended: Moment,
    /// How it ended: `fin`, `reset` or `timeout`; `open`: it has not.
    pub end: String,
    /// Whether it is older than `began`: what it moved before is not here.
    pub adopted: bool,
    /// Payload handed to the network, each byte once. Unit: bytes.
    pub transmit: u64,
    /// Payload received in order. Unit: bytes.
    pub receive: u64,
    /// Payload sent again. Unit: bytes.
    pub retransmit: u64,
}

/// What is in [`Entry::end`] while it is open.
const NOT_ENDED: &str = "open";

/// Whose ledger it is.
#[derive(Clone, Debug)]
struct Owner {
    node: String,
    party_id: Option<String>,
}

impl Owner {
    fn entry(&self, connection: &Connection) -> Entry {
        Entry {
            node: self.node.clone(),
            party_id: self.party_id.clone(),
            peer: connection.party.to_string(),
            protocol: connection.protocol.to_string(),
            role: Role::name(connection.role).to_owned(),
            local: connection.local,
            remote: connection.remote,
            began: Moment(connection.began),
            ended: Moment(connection.ended),
            end: connection.end.map_or(NOT_ENDED, End::name).to_owned(),
            adopted: connection.adopted,
            transmit: connection.transmit,
            receive: connection.receive,
            retransmit: connection.retransmit,
        }
    }

    /// Writes one as a line.
    fn write(&self, connection: &Connection, out: &mut impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.entry(connection))?;
        out.write_all(b"\n")
    }
}

/// A time, written as RFC 3339 with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub SystemTime);

impl Moment {
    /// The end of the last year that has four digits, in seconds since 1970.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime panics before 1970 and fails after 9999; a clock may be set to anything.
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().min(Self::LAST);
        humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since).fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("{text:?} is no time: {error}")))
    }
}
