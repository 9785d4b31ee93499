//! The ledger: one line per MPC connection, which two parties can compare. `writer` accepts connections while the agent
//! runs, `worker` writes them to the files of `files`, `export` prints them, and `compare` compares what two parties have
//! exported. `look` says before a start whether it can be written.
//!
//! The ledger is sensitive: it contains addresses and the times of computations. It is off by default, readable by root
//! only, and bounded in size and age.

pub mod compare;
pub mod export;
mod files;
mod lines;
mod look;
mod segment;
mod status;
mod worker;
pub mod writer;

pub use look::probe;

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use agent_ebpf::{End, Role};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::sample::ConnectionRecord;

/// One connection, as a line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The node that wrote it.
    pub node: String,
    /// The node's own party, where it is configured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub party_id: Option<String>,
    /// The peer: a party id, an address, `unknown` or `other`.
    pub peer: String,
    /// The name of the protocol, or `other`.
    pub protocol: String,
    /// `initiator` if this side opened the connection, else `acceptor`.
    pub role: String,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// When it was established; if `adopted`, when counting began.
    pub began: Timestamp,
    /// When it ended; if it is open, when it was listed.
    pub ended: Timestamp,
    /// How it ended: `fin`, `reset` or `timeout`; `open` if it has not.
    pub end: String,
    /// Whether the connection is older than `began`. Earlier bytes are not included.
    pub adopted: bool,
    /// Payload sent, without retransmissions. Unit: bytes.
    pub transmit: u64,
    /// Payload received in order. Unit: bytes.
    pub receive: u64,
    /// Payload retransmitted. Unit: bytes.
    pub retransmit: u64,
}

/// The value of [`Entry::end`] of an open connection.
const NOT_ENDED: &str = "open";

/// The node and party that a ledger belongs to.
#[derive(Clone, Debug)]
struct Owner {
    node: String,
    party_id: Option<String>,
}

impl Owner {
    fn entry(&self, connection: &ConnectionRecord) -> Entry {
        Entry {
            node: self.node.clone(),
            party_id: self.party_id.clone(),
            peer: connection.party.to_string(),
            protocol: connection.protocol.to_string(),
            role: Role::name(connection.role).to_owned(),
            local: connection.local,
            remote: connection.remote,
            began: Timestamp(connection.began),
            ended: Timestamp(connection.ended),
            end: connection.end.map_or(NOT_ENDED, End::name).to_owned(),
            adopted: connection.adopted,
            transmit: connection.transmit,
            receive: connection.receive,
            retransmit: connection.retransmit,
        }
    }

    /// Writes one connection as a line of JSON.
    fn write(&self, connection: &ConnectionRecord, out: &mut impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.entry(connection))?;
        out.write_all(b"\n")
    }
}

/// The line of a connection in the ledger of a node.
///
/// # Errors
/// Where it cannot be written as JSON.
#[cfg(feature = "fuzz")]
pub fn line(
    node: &str,
    party_id: Option<&str>,
    connection: &ConnectionRecord,
) -> io::Result<Vec<u8>> {
    let owner = Owner {
        node: node.to_owned(),
        party_id: party_id.map(str::to_owned),
    };
    let mut line = Vec::new();
    owner.write(connection, &mut line)?;
    Ok(line)
}

/// A time in RFC 3339 with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub SystemTime);

impl Timestamp {
    /// The end of the year 9999. Unit: seconds since 1970.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime panics before 1970 and fails after 9999, and a clock can be set to anything.
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().min(Self::LAST);
        humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("{text:?} is not a time: {error}")))
    }
}
