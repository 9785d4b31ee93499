//! What the kernel side and the agent say to each other: the layout of every map's keys and values, the
//! numbers that name parties and protocols, and the names of maps and programs. No logic lives here.
//!
//! Layouts are `repr(C)` with explicit padding, so that hashing a key hashes no stray byte and both
//! compilers agree; the asserts at the end hold them still.
#![cfg_attr(not(feature = "user"), no_std)]

/// Slots that the counter array holds: pairs of (party, protocol) that can be told apart at one time.
pub const SLOT_CAPACITY: u32 = 8192;
/// Address prefixes that parties may have together.
pub const PREFIX_CAPACITY: u32 = 16_384;
/// `address:port` endpoints that parties may have together.
pub const ENDPOINT_CAPACITY: u32 = 16_384;
/// Automatic parties that can be named at one time, whatever the configuration asks for.
pub const AUTO_PARTY_CAPACITY: u32 = 4096;

/// An index that stands for a party. User space gives them out; the kernel compares and stores them.
pub mod party {
    /// A peer on a protocol's port whose address is no party's.
    pub const UNKNOWN: u32 = 0;
    /// Peers that did not fit: `party_id="other"`.
    pub const OTHER: u32 = 1;
    /// The first configured party.
    pub const FIRST: u32 = 2;
    /// The first automatic party: an address that the kernel gave an index by itself.
    pub const FIRST_AUTO: u32 = 1 << 16;
}

/// An index that stands for a protocol.
pub mod protocol {
    /// A party's connection on a port that no protocol claims: `protocol="other"`.
    pub const OTHER: u32 = 0;
    /// The first configured protocol. In [`map::PORTS`](crate::map::PORTS) 0 therefore means "no protocol".
    pub const FIRST: u32 = 1;
}

/// Names of the maps, as the loader looks them up.
pub mod map {
    /// `u16` port -> protocol index, 0 for none. Array of 65,536.
    pub const PORTS: &str = "PORTS";
    /// IPv6 (or v4-mapped) prefix -> party index. LPM trie.
    pub const PREFIXES: &str = "PREFIXES";
    /// [`Endpoint`](crate::Endpoint) -> party index. Hash.
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// Address -> index of an automatic party. Hash.
    pub const AUTO_PARTIES: &str = "AUTO_PARTIES";
    /// [`SlotKey`](crate::SlotKey) -> slot. Hash.
    pub const SLOTS: &str = "SLOTS";
    /// Slot -> [`Counters`](crate::Counters). Array, mapped into the agent's memory.
    pub const COUNTERS: &str = "COUNTERS";
    /// The one [`Control`](crate::Control). Array of 1, mapped into the agent's memory.
    pub const CONTROL: &str = "CONTROL";
    /// Socket -> [`Account`](crate::Account). Socket storage.
    pub const SOCKETS: &str = "SOCKETS";
}

/// Names of the programs, as the loader looks them up; one file each under `programs/`.
pub mod program {
    /// `tp_btf/inet_sock_set_state`: gives an MPC connection an account when it is established, and settles
    /// it for the last time when it is closed.
    pub const SET_STATE: &str = "set_state";
    /// The same once more, for when the first was interrupted by itself.
    pub const SET_STATE_AGAIN: &str = "set_state_again";
    /// `iter/task_file`: gives accounts to MPC connections that are older than the agent.
    pub const ADOPT: &str = "adopt";
    /// `iter/bpf_sk_storage_map`: brings the counters of every open account up to date.
    pub const SETTLE: &str = "settle";
    /// All of them.
    pub const ALL: [&str; 4] = [SET_STATE, SET_STATE_AGAIN, ADOPT, SETTLE];
}

/// Name of the read-only [`Offsets`] in the object's `.rodata`.
pub const OFFSETS: &str = "OFFSETS";

/// An IPv6 address in network order; IPv4 is v4-mapped (`::ffff:a.b.c.d`).
pub type Address = [u8; 16];

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

/// Key of [`map::SLOTS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// Party index.
    pub party: u32,
    /// Protocol index.
    pub protocol: u32,
}

/// What one slot has counted since its map was made. Unit: bytes of TCP payload. Never reset; each is the
/// sum of signed corrections and so may step back by the FIN of a connection, see `settle`.
#[repr(C, align(64))] // one cache line: two parties' sockets never contend
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Payload handed to the network, each byte once. From `tcp_sock.snd_nxt`.
    pub transmit: u64,
    /// Payload received in order. From `tcp_sock.bytes_received`.
    pub receive: u64,
    /// Payload sent again. From `tcp_sock.bytes_retrans`.
    pub retransmit: u64,
}

/// What did not fit or could not be done, by reason; indexes [`Control::dropped`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// No memory for a socket's account (`net.core.optmem_max` or the machine's): its bytes are not counted.
    SocketStorage = 0,
    /// More pairs of (party, protocol) than slots: counted under `party_id="other"`.
    Slots = 1,
    /// More automatic parties than allowed: counted under `party_id="other"`.
    AutoParties = 2,
}

impl Drop {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 3] = [Self::SocketStorage, Self::Slots, Self::AutoParties];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketStorage => "socket_storage",
            Self::Slots => "slots",
            Self::AutoParties => "auto_parties",
        }
    }
}

/// State that both sides share, outside the slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// The next slot to give out; at or past [`SLOT_CAPACITY`] there is none left.
    pub next_slot: u32,
    /// Automatic parties given out so far.
    pub auto_parties: u32,
    /// How many automatic parties there may be; 0 when parties are configured.
    pub auto_limit: u32,
    /// Always 0.
    pub padding: u32,
    /// Accounts that the settle iterator saw, added up over all runs.
    pub settled: u64,
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
}

/// Set in an account's three sums by the last settle: nothing may be added after it.
pub const CLOSED: u64 = 1 << 63;

/// Byte offsets of the kernel's own fields, from the running kernel's BTF. They are read-only data by the
/// time the verifier looks, so it takes them for constants and lets them through as direct loads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `sock_common.skc_family`, `unsigned short`.
    pub family: u32,
    /// `sock_common.skc_state`, `volatile unsigned char`.
    pub state: u32,
    /// `sock_common.skc_flags`, `unsigned long` with a bit per `enum sock_flags`.
    pub flags: u32,
    /// `sock_common.skc_dport`, `__be16`.
    pub remote_port: u32,
    /// `sock_common.skc_num`, `__u16`, host order.
    pub local_port: u32,
    /// `sock_common.skc_daddr`, `__be32`.
    pub remote_v4: u32,
    /// `sock_common.skc_rcv_saddr`, `__be32`.
    pub local_v4: u32,
    /// `sock_common.skc_v6_daddr`, `struct in6_addr`.
    pub remote_v6: u32,
    /// `sock_common.skc_v6_rcv_saddr`, `struct in6_addr`.
    pub local_v6: u32,
    /// `socket.sk`, `struct sock *`.
    pub socket_sk: u32,
    /// `inet_connection_sock.icsk_bind_hash`, `struct inet_bind_bucket *`.
    pub bind_bucket: u32,
    /// `inet_bind_bucket.fastreuse`, `signed char`.
    pub bind_fastreuse: u32,
    /// `tcp_sock.snd_nxt`, `u32`.
    pub snd_nxt: u32,
    /// `tcp_sock.write_seq`, `u32`.
    pub write_seq: u32,
    /// `tcp_sock.bytes_acked`, `u64`.
    pub bytes_acked: u32,
    /// `tcp_sock.bytes_received`, `u64`.
    pub bytes_received: u32,
    /// `tcp_sock.bytes_sent`, `u64`.
    pub bytes_sent: u32,
    /// `tcp_sock.bytes_retrans`, `u64`.
    pub bytes_retrans: u32,
}

const _: () = {
    assert!(size_of::<Endpoint>() == 20);
    assert!(size_of::<SlotKey>() == 8);
    assert!(size_of::<Counters>() == 64);
    assert!(size_of::<Control>() == 24 + 8 * Drop::ALL.len());
    assert!(size_of::<Account>() == 32);
    assert!(core::mem::offset_of!(Account, transmit) == 8);
    assert!(core::mem::offset_of!(Control, dropped) == 24);
};

#[cfg(feature = "user")]
mod user {
    use super::{Account, Control, Counters, Endpoint, Offsets, SlotKey};
    // SAFETY: all of them are `repr(C)`, `Copy`, hold integers only and have no implicit padding but the
    // zeroed tail of `Counters`, so any bytes the kernel returns are a valid value.
    unsafe impl aya::Pod for Account {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Control {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Counters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Endpoint {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for SlotKey {}
}
