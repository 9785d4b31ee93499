//! How large the maps are at most.

/// Slots: pairs of party and protocol. The array is as long as the configuration needs; this bounds it to 48 MiB.
pub const SLOT_CAPACITY: u32 = 1 << 18;
/// Address prefixes of all parties together.
pub const PREFIX_CAPACITY: u32 = 16_384;
/// `address:port` endpoints of all parties together.
pub const ENDPOINT_CAPACITY: u32 = 16_384;
/// Automatic parties at one time, whatever the configuration asks for.
pub const AUTO_PARTY_CAPACITY: u32 = 4096;
/// Histograms of all slots together, two each, given out as they are needed; 10 MiB. The array is as long as the
/// configured parties make likely.
pub const HISTOGRAM_CAPACITY: u32 = 2048;
/// Prefixes that MPC programs may connect to beside their parties.
pub const ALLOWED_CAPACITY: u32 = 4096;
/// Processes with MPC connections whose other connections are watched.
pub const PROCESS_CAPACITY: u32 = 16_384;
/// Where parties share an address: processes that listen on protocols' ports, and connections opened by them.
pub const LOCAL_INITIATOR_CAPACITY: u32 = 32_768;
/// Unexpected senders of datagrams that are remembered, so that each is reported once.
pub const UNEXPECTED_SENDER_CAPACITY: u32 = 4096;
/// Bytes of the ring of [`UnexpectedPeer`](crate::UnexpectedPeer)s: a page, some hundred between two rounds.
pub const UNEXPECTED_PEER_BYTES: u32 = 4096;
/// Bytes of the ring of [`Record`](crate::Record)s where connections are recorded: some 20,000 between two rounds.
pub const RECORD_BYTES: u32 = 2 << 20;
