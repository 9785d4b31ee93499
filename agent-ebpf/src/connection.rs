//! Connections one by one, as the kernel side reports them.

use crate::tables::Address;

/// Which side opened a connection; indexes [`Totals::opened`](crate::Totals::opened).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This one.
    Initiator = 0,
    /// The other one: it came to a port that listens here.
    Acceptor = 1,
}

impl Role {
    /// Every role, in the order of its number.
    pub const ALL: [Self; 2] = [Self::Initiator, Self::Acceptor];

    /// The role of a side that has opened the connection, or has not.
    #[must_use]
    pub const fn of(initiator: bool) -> Self {
        if initiator {
            Self::Initiator
        } else {
            Self::Acceptor
        }
    }

    /// The value of the label `role`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Acceptor => "acceptor",
        }
    }
}

/// How a connection ended; indexes [`Totals::closed`](crate::Totals::closed).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order.
    Fin = 0,
    /// By a reset, from either side.
    Reset = 1,
    /// The other side did not answer any more.
    Timeout = 2,
}

impl End {
    /// Every way, in the order of its number.
    pub const ALL: [Self; 3] = [Self::Fin, Self::Reset, Self::Timeout];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
        }
    }
}

/// A counted connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other side.
    pub address: Address,
    /// Its port.
    pub remote_port: u16,
    /// This side's port.
    pub local_port: u16,
    /// The slot that counts it.
    pub slot: u32,
}

/// An unexpected peer, whose address belongs to no party, as its connection begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedPeer {
    /// The connection.
    pub connection: Connection,
    /// This side's [`Role`] in it.
    pub role: u32,
    /// The process that opened it, as the machine's first PID namespace numbers it; 0: not known, as for an accepted
    /// connection.
    pub process: u32,
}

/// A counted connection, whose it is and what it has moved.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The connection.
    pub connection: Connection,
    /// This side's address.
    pub local: Address,
    /// When it was established, or adopted, by the kernel's monotonic clock. Unit: nanoseconds.
    pub began: u64,
    /// When it ended, or was read; likewise.
    pub ended: u64,
    /// Payload since `began`, as in [`Totals`](crate::Totals). Unit: bytes.
    pub transmit: u64,
    /// See `transmit`.
    pub receive: u64,
    /// See `transmit`.
    pub retransmit: u64,
    /// The smoothed round-trip time. Unit: 1/8 microsecond; 0: none was measured.
    pub smoothed: u32,
    /// This side's [`Role`] in it.
    pub role: u32,
    /// How it ended, an [`End`]; [`OPEN`]: it has not.
    pub end: u32,
    /// 1: it is older than `began`.
    pub adopted: u32,
}

/// No [`End`].
pub const OPEN: u32 = u32::MAX;

/// A process and one of its MPC connections, as [`program::SOCKET_OWNERS`](crate::program::SOCKET_OWNERS) writes them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOwner {
    /// The process, as the machine's first PID namespace numbers it.
    pub process: u32,
    /// Always 0.
    pub padding: u32,
    /// The connection.
    pub connection: Connection,
}
