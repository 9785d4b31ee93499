//! What the kernel side and the agent say to each other: the layout of every map's keys and values, the
//! numbers that name parties and protocols, and the names of maps and programs. No logic lives here.
//!
//! Layouts are `repr(C)` with explicit padding, so that hashing a key hashes no stray byte and both
//! compilers agree; the asserts at the end hold them still.
#![cfg_attr(not(feature = "user"), no_std)]

pub mod latency;
pub mod map;
pub mod pinned;
pub mod program;
mod rodata;
pub mod turn;
#[cfg(feature = "user")]
mod user;

pub use latency::Histogram;
pub use rodata::{OFFSETS, Offsets, SETTINGS, Settings};

/// The most slots that there can be: pairs of (party, protocol). The array is as long as the configuration
/// needs; this bounds its memory to 48 MiB.
pub const SLOT_CAPACITY: u32 = 1 << 18;
/// Address prefixes that parties may have together.
pub const PREFIX_CAPACITY: u32 = 16_384;
/// `address:port` endpoints that parties may have together.
pub const ENDPOINT_CAPACITY: u32 = 16_384;
/// Automatic parties that can be named at one time, whatever the configuration asks for.
pub const AUTO_PARTY_CAPACITY: u32 = 4096;
/// The most histograms that slots can have together, two each, given out as they are needed; 10 MiB. The array is as
/// long as the parties of the configuration make likely.
pub const HISTOGRAM_CAPACITY: u32 = 2048;
/// Prefixes that MPC programs may connect to beside their parties.
pub const ALLOWED_CAPACITY: u32 = 4096;
/// Processes with MPC connections whose other connections are watched.
pub const PROCESS_CAPACITY: u32 = 16_384;
/// Processes that listen on protocols' ports, and connections that they have opened, where parties share an address.
pub const OPENER_CAPACITY: u32 = 32_768;
/// Strangers that have sent datagrams lately, so that each is told once.
pub const CALLER_CAPACITY: u32 = 4096;
/// Bytes of the ring of [`Stranger`]s: a page, some hundred between two rounds.
pub const STRANGER_BYTES: u32 = 4096;

/// Bytes of the ring of [`Record`]s where connections are recorded: some 20,000 between two rounds.
pub const RECORD_BYTES: u32 = 2 << 20;

/// A party is, to the kernel, a block of slots: one slot for each protocol. A block is named by its first slot;
/// the slot of a pair is the block plus the protocol. Every block is [`Control::stride`] slots long.
pub mod block {
    /// Peers on a protocol's port whose address is no party's. Any other block follows.
    pub const UNKNOWN: u32 = 0;

    /// Peers that did not fit, or that are one of several parties at an address.
    pub const fn other(stride: u32) -> u32 {
        stride
    }

    /// The first of the configured parties', or of the automatic ones where none is configured.
    pub const fn first(stride: u32) -> u32 {
        2 * stride
    }
}

/// A protocol is its place in the configuration, from 1.
pub mod protocol {
    /// A party's connection on a port that no protocol claims: `protocol="other"`.
    pub const OTHER: u32 = 0;
    /// The first configured protocol. In [`map::PORTS`](crate::map::PORTS) 0 therefore means "no protocol".
    pub const FIRST: u32 = 1;
}

/// Whether [`program::SOCKET_EVENTS`] sees every socket; [`Control::events`].
pub mod events {
    /// It does not, or is not attached.
    pub const NOT_ALL: u32 = 0;
    /// It does.
    pub const ALL: u32 = 1;
    /// It will as soon as it is attached. Until then `set_state` does all of it, too.
    pub const SOON_ALL: u32 = 2;
}

/// Whether parties are known by address and port; [`Control::endpoints`]. Each has what the one before it has.
pub mod endpoints {
    /// None is, and none will be: nobody looks into [`map::ENDPOINTS`](crate::map::ENDPOINTS).
    pub const NONE: u32 = 0;
    /// Some are, or will be once their host names resolve.
    pub const EXACT: u32 = 1;
    /// Several of them share an address: it matters who listens, and who opens a connection.
    pub const SHARED: u32 = 2;
}

/// Whether [`program::SOCKET_EVENTS`] is told of the end of a connection; [`Account::told`].
pub mod told {
    /// Nobody has looked.
    pub const UNKNOWN: u32 = 0;
    /// It has armed the connection for it.
    pub const ARMED: u32 = 1;
    /// It is not, and the account is one of [`Control::untold`](crate::Control::untold).
    pub const NOT: u32 = 2;
}

/// An IPv6 address, four words in network order, as the kernel keeps it; IPv4 is v4-mapped (`::ffff:a.b.c.d`).
/// Words, because BPF moves an array of bytes byte by byte.
pub type Address = [u32; 4];

/// Key of [`map::ENDPOINTS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The party's address.
    pub address: Address,
    /// The port that the party listens on, host order. 0: the address of a party that is known by its
    /// ports; it says whose an *accepted* connection is, because there the party's port is ephemeral.
    pub port: u16,
    /// Always 0: the kernel hashes every byte of a key.
    pub padding: u16,
}

/// Key of [`map::CALLERS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Where the datagram came from.
    pub address: Address,
    /// The port that it came to.
    pub local_port: u16,
    /// Always 0: the kernel hashes every byte of a key.
    pub padding: u16,
}

/// Key of [`map::OPENERS`]: a connection by the end that opened it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opener {
    /// The address that it came from.
    pub address: Address,
    /// The port that it came from, which is ephemeral.
    pub port: u16,
    /// The port that it went to.
    pub listening: u16,
}

/// Value of [`map::LISTENERS`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Ports of protocols that the process listens on; 0: none.
    pub ports: [u16; 8],
}

/// Who began a connection about which that matters, until it is established.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The process, as the machine's first PID namespace numbers it.
    pub process: u32,
    /// Not 0: it is with a stranger.
    pub strange: u32,
}

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
    /// Segments with payload, sent and received, those sent again included. From `tcp_sock.data_segs_out`
    /// and `data_segs_in`.
    pub segments: [u64; 2],
    /// Connections that were established, by [`Role`]; over UDP, strangers.
    pub opened: [u64; Role::ALL.len()],
    /// Connections that ended, by [`End`].
    pub closed: [u64; End::ALL.len()],
    /// Connections that were begun here and not established.
    pub failures: u64,
    /// Calls that have sent, and calls that have received payload; over UDP, datagrams.
    pub messages: [u64; 2],
    /// Times that something was received after something was sent.
    pub rounds: u64,
    /// How long the party was waited for: from what was sent last until something was received, or the connection was
    /// closed over which it was sent. The wait that is going on is not in it, see [`Counters::sent`]. Unit: nanoseconds.
    pub waited: u64,
}

/// One slot: what it has counted, and what the last walk of the settle iterator found.
#[repr(C, align(64))] // whole cache lines: two parties' sockets never contend
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// What it has counted.
    pub totals: Totals,
    /// The walk that the next three are of, as [`Control::walk`] numbers it. Of another walk: no connection.
    pub walk: u64,
    /// Sum of the smoothed round-trip times of the open connections that have one. Unit: 1/8 microsecond.
    pub smoothed: u64,
    /// Open connections.
    pub open: u32,
    /// Those of them that have a smoothed round-trip time.
    pub measured: u32,
    /// Its histogram of round-trip times, in [`map::HISTOGRAMS`]; 0: none yet.
    pub latency: u32,
    /// The one of waiting times, likewise.
    pub waiting: u32,
    /// When something was sent last, by the kernel's monotonic clock; 0 once something was received after that.
    /// Unit: nanoseconds.
    pub sent: u64,
    /// The agent's own note.
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

/// Which side opened a connection; indexes [`Totals::opened`].
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

    /// The value of the label `role`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Acceptor => "acceptor",
        }
    }
}

/// How a connection ended; indexes [`Totals::closed`].
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

/// A connection with an address that is no party's, as it begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The connection.
    pub connection: Connection,
    /// Which [`Role`] this side has in it.
    pub role: u32,
    /// The process that began it, as the machine's first PID namespace numbers it; 0: not known, as where it was
    /// accepted.
    pub process: u32,
}

/// A counted connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other side.
    pub address: Address,
    /// Its port.
    pub remote_port: u16,
    /// This side's.
    pub local_port: u16,
    /// The slot that counts it.
    pub slot: u32,
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
    /// When it ended, or was looked at; likewise.
    pub ended: u64,
    /// Payload since `began`, as in [`Totals`]. Unit: bytes.
    pub transmit: u64,
    /// See `transmit`.
    pub receive: u64,
    /// See `transmit`.
    pub retransmit: u64,
    /// The smoothed round-trip time. Unit: 1/8 microsecond; 0: none was measured.
    pub smoothed: u32,
    /// Which [`Role`] this side has in it.
    pub role: u32,
    /// How it ended, an [`End`]; [`OPEN`]: it has not.
    pub end: u32,
    /// 1: it is older than `began`.
    pub adopted: u32,
}

/// No [`End`].
pub const OPEN: u32 = u32::MAX;

/// A process and one of its MPC connections, as [`program::HOLDERS`] writes them one after the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process, as the machine's first PID namespace numbers it.
    pub process: u32,
    /// Always 0.
    pub padding: u32,
    /// The connection; its slot says whose it is.
    pub connection: Connection,
}

/// What did not fit or could not be done, by reason; indexes [`Control::dropped`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// No memory for a socket's account (`net.core.optmem_max` or the machine's): its bytes are not counted.
    SocketStorage = 0,
    /// More automatic parties than allowed: counted under `party_id="other"`.
    AutoParties = 1,
    /// More slots with times than histograms: those times are not counted.
    Histograms = 2,
    /// More strangers between two rounds than the ring takes: they are counted and not logged.
    Strangers = 3,
    /// More connections that ended between two rounds than the ring takes: they are counted and not recorded.
    Records = 4,
    /// Connections that another program of `sock_ops` has disarmed: such a one that begins and ends between two rounds
    /// can be missed, and its round-trip times are.
    Disarmed = 5,
}

impl Drop {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::SocketStorage,
        Self::AutoParties,
        Self::Histograms,
        Self::Strangers,
        Self::Records,
        Self::Disarmed,
    ];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketStorage => "socket_storage",
            Self::AutoParties => "auto_parties",
            Self::Histograms => "histograms",
            Self::Strangers => "stranger_events",
            Self::Records => "connection_records",
            Self::Disarmed => "disarmed",
        }
    }
}

/// State that both sides share, outside the slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// Length of a block: the protocols and one.
    pub stride: u32,
    /// Numbers below this may be given to automatic parties; 0 when parties are configured. The agent changes it
    /// while the programs run.
    pub auto_limit: u32,
    /// The next automatic party's number; it begins behind the blocks of configured parties, and goes on where one
    /// found no room.
    pub auto_parties: u32,
    /// Whether there is or may be any entry in [`map::ENDPOINTS`], of [`endpoints`]: looking one up is most of what a
    /// claim costs.
    pub endpoints: u32,
    /// Whether [`program::SOCKET_EVENTS`] sees every socket, so that `set_state` leaves all to it but the end of those
    /// that it is not told of; see [`events`].
    pub events: u32,
    /// Histograms given out so far, and asked for in vain.
    pub histograms: u32,
    /// How many histograms there may be.
    pub histogram_limit: u32,
    /// Which load of the programs counts, and how far it has taken over from the one before; see [`turn`].
    pub turn: u32,
    /// The last walk of the settle iterator that came to its end.
    pub walk: u64,
    /// The kernel's monotonic clock at the end of that walk: all times here are of this clock, which a time namespace
    /// does not change, as it does that of a process. Unit: nanoseconds.
    pub clock: u64,
    /// Accounts that the settle iterator saw, added up over all runs.
    pub settled: u64,
    /// Open accounts that are [`told::NOT`]: as long as there are any, `set_state` must be attached.
    pub untold: u64,
    /// How often each [`Drop`] happened.
    pub dropped: [u64; Drop::ALL.len()],
}

/// A claimed socket's account, in its socket storage.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Where its bytes go.
    pub slot: u32,
    /// The sequence number at which its transmitted payload is 0 modulo 2^32.
    pub sequence_base: u32,
    /// Payload bytes of each kind that are in the slot already; [`CLOSED`] once settled for the last time.
    pub transmit: u64,
    /// See `transmit`.
    pub receive: u64,
    /// See `transmit`.
    pub retransmit: u64,
    /// `bytes_received` at the last settle: its last byte may be a FIN that is not marked as one yet.
    pub received: u64,
    /// Segments that are in the slot already: `data_segs_out`, above it `data_segs_in` modulo 2^31, above
    /// both [`CLOSED`].
    pub segments: u64,
    /// 1 once it is counted as opened.
    pub opened: u32,
    /// Lower half of `tcp_sock.rack.mstamp` when a round-trip time was last taken at a settle.
    pub sampled: u32,
    /// 1: this side opened the connection.
    pub initiator: u32,
    /// Lower half of the number of the last walk that has settled it.
    pub walk: u32,
    /// When something was sent over it last, as [`Counters::sent`]; 0: never.
    pub sent: u64,
    /// When it was made, by the kernel's monotonic clock; 0 where connections are not recorded. Unit: nanoseconds.
    pub began: u64,
    /// What the first three sums were then: not 0 of a connection that was adopted.
    pub base: [u64; 3],
    /// 1: the connection is older than the account.
    pub adopted: u32,
    /// Whether [`program::SOCKET_EVENTS`] is told of its end, of [`told`]; of one that was adopted it mostly is not.
    pub told: u32,
}

/// Set in an account's four sums by the last settle: nothing may be added after it.
pub const CLOSED: u64 = 1 << 63;

const _: () = {
    assert!(size_of::<Endpoint>() == 20);
    assert!(size_of::<Caller>() == 20);
    assert!(size_of::<Opener>() == 20);
    assert!(size_of::<Listener>() == 16);
    assert!(size_of::<Counters>() == 192);
    assert!(size_of::<Control>() == 64 + 8 * Drop::ALL.len());
    // With what the kernel adds (72 bytes), in its caches of 192.
    assert!(size_of::<Account>() == 112);
    assert!(size_of::<Connection>() == 24);
    assert!(size_of::<Stranger>() == 32);
    assert!(size_of::<Holder>() == 32);
    assert!(size_of::<Record>() == 96);
    assert!(core::mem::offset_of!(Account, transmit) == 8);
    assert!(core::mem::offset_of!(Control, dropped) == 64);
};
