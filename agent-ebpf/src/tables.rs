//! Keys and values of the tables that attribution looks into.

/// A party is a block of slots: one slot for each protocol. A block is named by its first slot; the slot of a party and
/// a protocol is the block plus the protocol. Every block is [`Control::stride`](crate::Control::stride) slots long.
pub mod block {
    /// Unexpected peers on a protocol's port.
    pub const UNKNOWN: u32 = 0;

    /// Peers that did not fit, and those that are one of several parties at an address.
    pub const fn other(stride: u32) -> u32 {
        stride
    }

    /// The first configured party, or the first automatic one where none is configured.
    pub const fn first(stride: u32) -> u32 {
        2 * stride
    }
}

/// A protocol is its place in the configuration, from 1.
pub mod protocol {
    /// A party's connection on a port that belongs to no protocol: `protocol="other"`.
    pub const OTHER: u32 = 0;
    /// The first configured protocol. In [`map::PORTS`](crate::map::PORTS) 0 therefore means "no protocol".
    pub const FIRST: u32 = 1;
}

/// An IPv6 address, four words in network order, as the kernel keeps it; IPv4 is v4-mapped (`::ffff:a.b.c.d`).
/// Words, because BPF moves an array of bytes byte by byte.
pub type Address = [u32; 4];

/// Key of [`map::ENDPOINTS`](crate::map::ENDPOINTS).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The party's address.
    pub address: Address,
    /// The port that the party listens on, host order. 0: the address of a party that is known by its ports; it says
    /// whose an *accepted* connection is, because there the party's port is ephemeral.
    pub port: u16,
    /// Always 0: the kernel hashes every byte of a key.
    pub padding: u16,
}

/// Key of [`map::UNEXPECTED_SENDERS`](crate::map::UNEXPECTED_SENDERS).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedSender {
    /// Where the datagram came from.
    pub address: Address,
    /// The port that it came to.
    pub local_port: u16,
    /// Always 0: the kernel hashes every byte of a key.
    pub padding: u16,
}

/// Key of [`map::LOCAL_INITIATORS`](crate::map::LOCAL_INITIATORS): a connection by the end that opened it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalInitiator {
    /// The address that it came from.
    pub address: Address,
    /// The port that it came from, which is ephemeral.
    pub port: u16,
    /// The port that it went to.
    pub listening: u16,
}

/// Value of [`map::LISTENERS`](crate::map::LISTENERS).
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Ports of protocols that the process listens on; 0: none.
    pub ports: [u16; 8],
}
