//! State that both sides share, outside the slots.

/// The one value of [`map::CONTROL`](crate::map::CONTROL).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// Length of a block: the number of protocols plus one.
    pub stride: u32,
    /// Numbers below this may be given to automatic parties; 0 when parties are configured. The agent changes it while
    /// the programs run.
    pub auto_limit: u32,
    /// The next automatic party's number. It begins behind the blocks of configured parties, and also grows where an
    /// automatic party found no room.
    pub auto_parties: u32,
    /// Whether [`map::ENDPOINTS`](crate::map::ENDPOINTS) has or may get any entry, see [`endpoints`]: a look-up there is
    /// most of what a claim costs.
    pub endpoints: u32,
    /// Which sockets [`program::SOCKET_EVENTS`](crate::program::SOCKET_EVENTS) sees, see [`events`].
    pub events: u32,
    /// Histograms given out so far, and asked for in vain.
    pub histograms: u32,
    /// How many histograms there may be.
    pub histogram_limit: u32,
    /// Which load of the programs counts, and how far it has taken over from the one before; see
    /// [`handover`](crate::handover).
    pub handover: u32,
    /// The last walk of the settle iterator that came to its end.
    pub walk: u64,
    /// The kernel's monotonic clock at the end of that walk. All times here are of this clock; unlike what a process
    /// reads, a time namespace does not change it. Unit: nanoseconds.
    pub clock: u64,
    /// Accounts that the settle iterator saw, added up over all walks.
    pub settled: u64,
    /// Open accounts that are [`close_callback::NOT_ARMED`](crate::close_callback::NOT_ARMED): as long as there are any,
    /// `set_state` must be attached.
    pub unarmed: u64,
    /// How often each [`DropReason`] occurred.
    pub dropped: [u64; DropReason::ALL.len()],
}

/// Which sockets [`program::SOCKET_EVENTS`](crate::program::SOCKET_EVENTS) sees; [`Control::events`].
pub mod events {
    /// Not all, or it is not attached.
    pub const NOT_ALL: u32 = 0;
    /// All: `set_state` leaves everything to it, except the end of connections whose callback is not armed.
    pub const ALL: u32 = 1;
    /// All, as soon as it is attached. Until then `set_state` does everything, too.
    pub const SOON_ALL: u32 = 2;
}

/// Whether parties are known by address and port; [`Control::endpoints`]. Each value includes the one before it.
pub mod endpoints {
    /// None is, and none will be: [`map::ENDPOINTS`](crate::map::ENDPOINTS) is not looked into.
    pub const NONE: u32 = 0;
    /// Some are, or will be once their host names resolve.
    pub const EXACT: u32 = 1;
    /// Several of them share an address: it matters who listens, and who opens a connection.
    pub const SHARED: u32 = 2;
}

/// What did not fit or could not be done, by reason; indexes [`Control::dropped`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// No memory for a socket's account (`net.core.optmem_max` or the machine's): its bytes are not counted.
    SocketStorage = 0,
    /// More automatic parties than allowed: counted under `party_id="other"`.
    AutoParties = 1,
    /// More slots with times than histograms: those times are not counted.
    Histograms = 2,
    /// More unexpected peers between two rounds than the ring takes: they are counted and not logged.
    UnexpectedPeers = 3,
    /// More connections that ended between two rounds than the ring takes: they are counted and not recorded.
    Records = 4,
    /// Connections whose callbacks another program of `sock_ops` has disarmed: one that begins and ends between two
    /// rounds can be missed, and its round-trip times are.
    Disarmed = 5,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::SocketStorage,
        Self::AutoParties,
        Self::Histograms,
        Self::UnexpectedPeers,
        Self::Records,
        Self::Disarmed,
    ];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketStorage => "socket_storage",
            Self::AutoParties => "auto_parties",
            Self::Histograms => "histograms",
            Self::UnexpectedPeers => "unexpected_peers",
            Self::Records => "connection_records",
            Self::Disarmed => "disarmed",
        }
    }
}
