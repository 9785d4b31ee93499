//! One record per connection, and who receives them.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

/// A connection with a party and what it has transferred.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionRecord {
    /// As [`Traffic::party`].
    pub party: Arc<str>,
    /// As [`Traffic::protocol`].
    pub protocol: Arc<str>,
    /// Which side opened it.
    pub role: agent_ebpf::Role,
    /// This side's address and port.
    pub local: SocketAddr,
    /// The other side's address and port.
    pub remote: SocketAddr,
    /// When it was established, or, if it is older than the agent, when counting began.
    pub began: SystemTime,
    /// When it ended, or, if it is open, when it was read.
    pub ended: SystemTime,
    /// How it ended; `None` if it is open.
    pub end: Option<agent_ebpf::End>,
    /// Whether it is older than `began`.
    pub adopted: bool,
    /// Payload sent since `began`, each byte once. Unit: bytes.
    pub transmit: u64,
    /// Payload received in order since `began`. Unit: bytes.
    pub receive: u64,
    /// Payload retransmitted since `began`. Unit: bytes.
    pub retransmit: u64,
    /// The last smoothed round-trip time, in seconds; `None` if there is none.
    pub smoothed_rtt: Option<f64>,
}

/// Receives the records of connections.
pub trait ConnectionObserver: Send {
    /// A connection has ended.
    fn ended(&mut self, connection: &ConnectionRecord);

    /// Whether it wants a list of the open connections now.
    fn wants_open(&self) -> bool {
        false
    }

    /// The open connections, after [`Self::wants_open`].
    fn open(&mut self, _connections: Vec<ConnectionRecord>) {}
}
