//! Names of the maps, as the loader looks them up.

/// `u16` TCP port -> protocol, 0 for none. Array of 65,536.
pub const PORTS: &str = "PORTS";
/// The same of UDP; of length 1 where no protocol is on it.
pub const UDP_PORTS: &str = "UDP_PORTS";
/// [`UnexpectedSender`](crate::UnexpectedSender) -> anything: which unexpected peers have sent datagrams lately. LRU
/// hash; of length 1 where no protocol is on UDP.
pub const UNEXPECTED_SENDERS: &str = "UNEXPECTED_SENDERS";
/// IPv6 (or v4-mapped) prefix -> block. LPM trie.
pub const PREFIXES: &str = "PREFIXES";
/// [`Endpoint`](crate::Endpoint) -> block. Hash.
pub const ENDPOINTS: &str = "ENDPOINTS";
/// Process -> [`Listener`](crate::Listener). Hash.
pub const LISTENERS: &str = "LISTENERS";
/// [`LocalInitiator`](crate::LocalInitiator) -> block of the party that opened the connection, where parties share its
/// address. Hash.
pub const LOCAL_INITIATORS: &str = "LOCAL_INITIATORS";
/// Address -> block of an automatic party. Hash.
pub const AUTO_PARTIES: &str = "AUTO_PARTIES";
/// Slot -> [`Counters`](crate::Counters). Array, mapped into the agent's memory.
pub const COUNTERS: &str = "COUNTERS";
/// The one [`Control`](crate::Control). Array of 1, mapped into the agent's memory.
pub const CONTROL: &str = "CONTROL";
/// Socket -> [`Account`](crate::Account). Socket storage.
pub const SOCKETS: &str = "SOCKETS";
/// Number -> [`Histogram`](crate::Histogram). Array, mapped into the agent's memory; number 0 is not used.
pub const HISTOGRAMS: &str = "HISTOGRAMS";
/// IPv6 (or v4-mapped) prefix that MPC programs may connect to. LPM trie.
pub const ALLOWED: &str = "ALLOWED";
/// Process with an MPC connection -> anything. Hash.
pub const PROCESSES: &str = "PROCESSES";
/// [`UnexpectedPeer`](crate::UnexpectedPeer)s as they come. Ring buffer.
pub const UNEXPECTED_PEERS: &str = "UNEXPECTED_PEERS";
/// [`Record`](crate::Record)s of connections as they end. Ring buffer; of one page where they are not recorded.
pub const RECORDS: &str = "RECORDS";
/// Socket -> [`PendingConnect`](crate::PendingConnect). Socket storage.
pub const PENDING_CONNECTS: &str = "PENDING_CONNECTS";
/// Whether the load of the programs that counts has counted the event that a CPU is at; used during a handover. Array of
/// 1, for each CPU.
pub const COUNTED: &str = "COUNTED";
