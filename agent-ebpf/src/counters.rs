//! What one slot counts.

use crate::connection::{End, Role};

/// What one slot has counted since its map was made. Never reset; a sum may wrap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload handed to the network, each byte once. Unit: bytes. From `tcp_sock.snd_nxt`, or of datagrams.
    pub transmit: u64,
    /// Payload received in order. Unit: bytes. From `tcp_sock.bytes_received`, or of datagrams.
    pub receive: u64,
    /// Payload sent again. Unit: bytes. From `tcp_sock.bytes_retrans`.
    pub retransmit: u64,
    /// Segments with payload, sent and received, retransmissions included. From `tcp_sock.data_segs_out` and
    /// `data_segs_in`.
    pub segments: [u64; 2],
    /// Connections that were established, by [`Role`]; over UDP, unexpected peers.
    pub opened: [u64; Role::ALL.len()],
    /// Connections that ended, by [`End`].
    pub closed: [u64; End::ALL.len()],
    /// Connection attempts of this side that failed.
    pub failures: u64,
    /// Calls that have sent, and calls that have received payload; over UDP, datagrams.
    pub messages: [u64; 2],
    /// How often something was received after something was sent.
    pub rounds: u64,
    /// How long this node waited for the party: from the last send until something was received or the connection was
    /// closed. The wait that is going on is not included, see [`Counters::sent`]. Unit: nanoseconds.
    pub waited: u64,
}

/// One slot: what it has counted, and what the last settle walk found.
#[repr(C, align(64))] // whole cache lines: two parties' sockets never contend
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// What it has counted.
    pub totals: Totals,
    /// The walk that filled `smoothed`, `open` and `measured`, numbered as [`Control::walk`](crate::Control::walk). If it
    /// is not the last walk, the slot has no connection.
    pub walk: u64,
    /// Sum of the smoothed round-trip times of the open connections that have one. Unit: 1/8 microsecond.
    pub smoothed: u64,
    /// Open connections.
    pub open: u32,
    /// Those of them that have a smoothed round-trip time.
    pub measured: u32,
    /// Number of its histogram of round-trip times in [`map::HISTOGRAMS`](crate::map::HISTOGRAMS); 0: none yet.
    pub latency: u32,
    /// The same of waiting times.
    pub waiting: u32,
    /// When something was sent last, by the kernel's monotonic clock; 0 once something was received after that.
    /// Unit: nanoseconds.
    pub sent: u64,
    /// Written by the agent only.
    pub shown: Shown,
}

/// What the agent has published of the sums that may be corrected downwards: the next agent goes on from there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// As [`Totals::transmit`].
    pub transmit: u64,
    /// As [`Totals::receive`].
    pub receive: u64,
    /// The second of [`Totals::messages`].
    pub received_messages: u64,
    /// As [`Totals::waited`], with the wait that was going on.
    pub waited: u64,
}
