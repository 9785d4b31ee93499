//! What a socket's storage holds.

/// A claimed socket's account, in its socket storage.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// The slot that counts its bytes.
    pub slot: u32,
    /// The sequence number at which its transmitted payload is 0 modulo 2^32.
    pub sequence_base: u32,
    /// Payload bytes that are in the slot already; [`CLOSED`] after the last settle.
    pub transmit: u64,
    /// See `transmit`.
    pub receive: u64,
    /// See `transmit`.
    pub retransmit: u64,
    /// `bytes_received` at the last settle: its last byte may be a FIN that is not marked as one yet.
    pub received: u64,
    /// Segments that are in the slot already: `data_segs_out`, above it `data_segs_in` modulo 2^31, above both [`CLOSED`].
    pub segments: u64,
    /// 1 once it is counted as opened.
    pub opened: u32,
    /// Lower half of `tcp_sock.rack.mstamp` when a settle last took a round-trip time.
    pub sampled: u32,
    /// 1: this side opened the connection.
    pub initiator: u32,
    /// Lower half of the number of the last walk that has settled it.
    pub walk: u32,
    /// When something was sent over it last, as [`Counters::sent`](crate::Counters::sent); 0: never.
    pub sent: u64,
    /// When it was made, by the kernel's monotonic clock; 0 where connections are not recorded. Unit: nanoseconds.
    pub began: u64,
    /// `transmit`, `receive` and `retransmit` when it was made: not 0 if the connection was adopted.
    pub base: [u64; 3],
    /// 1: the connection is older than the account.
    pub adopted: u32,
    /// Whether the kernel reports the end of the connection to `sock_ops`, see [`close_callback`].
    pub close_callback: u32,
}

/// Set in an account's four sums by the last settle: nothing may be added after it.
pub const CLOSED: u64 = 1 << 63;

// With what the kernel adds (72 bytes), in its caches of 192.
const _: () = assert!(size_of::<Account>() == 112);

/// Whether [`program::SOCKET_EVENTS`](crate::program::SOCKET_EVENTS) is called at the end of a connection.
pub mod close_callback {
    /// Not checked yet.
    pub const UNKNOWN: u32 = 0;
    /// It has armed the connection's callback.
    pub const ARMED: u32 = 1;
    /// It is not called, and [`Control::unarmed`](crate::Control::unarmed) counts the account. So it is for most adopted
    /// connections.
    pub const NOT_ARMED: u32 = 2;
}

/// Who is opening a connection, until it is established; kept only where that matters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingConnect {
    /// The process, as the machine's first PID namespace numbers it.
    pub process: u32,
    /// Not 0: the peer is unexpected.
    pub unexpected: u32,
}
