//! Names of the maps, as the loader looks them up.

/// `u16` TCP port -> protocol, 0 for none. Array of 65,536.
pub const PORTS: &str = "PORTS";
/// The same of UDP; of length 1 where no protocol is on it.
pub const UDP_PORTS: &str = "UDP_PORTS";
/// [`Caller`](crate::Caller) -> anything: who has sent datagrams lately and is no party. LRU hash; of length 1 where
/// no protocol is on UDP.
pub const CALLERS: &str = "CALLERS";
/// IPv6 (or v4-mapped) prefix -> block. LPM trie.
pub const PREFIXES: &str = "PREFIXES";
/// [`Endpoint`](crate::Endpoint) -> block. Hash.
pub const ENDPOINTS: &str = "ENDPOINTS";
/// Process -> [`Listener`](crate::Listener). Hash.
pub const LISTENERS: &str = "LISTENERS";
/// [`Opener`](crate::Opener) -> block of the party that opened the connection, where parties share its address. Hash.
pub const OPENERS: &str = "OPENERS";
/// Address -> block of an automatic party. Hash.
pub const AUTO_PARTIES: &str = "AUTO_PARTIES";
/// Slot -> [`Counters`](crate::Counters). Array, mapped into the agent's memory.
pub const COUNTERS: &str = "COUNTERS";
/// The one [`Control`](crate::Control). Array of 1, mapped into the agent's memory.
pub const CONTROL: &str = "CONTROL";
/// Socket -> [`Account`](crate::Account). Socket storage.
pub const SOCKETS: &str = "SOCKETS";
/// Number -> [`Histogram`](crate::Histogram). Array, mapped into the agent's memory; 0 is nobody's.
pub const HISTOGRAMS: &str = "HISTOGRAMS";
/// IPv6 (or v4-mapped) prefix that MPC programs may connect to. LPM trie.
pub const ALLOWED: &str = "ALLOWED";
/// Process with an MPC connection -> anything. Hash.
pub const PROCESSES: &str = "PROCESSES";
/// [`Stranger`](crate::Stranger)s as they come. Ring buffer.
pub const STRANGERS: &str = "STRANGERS";
/// [`Record`](crate::Record)s of connections as they end. Ring buffer; of one page where they are not recorded.
pub const RECORDS: &str = "RECORDS";
/// Socket -> [`Begun`](crate::Begun). Socket storage.
pub const BEGUN: &str = "BEGUN";
/// Whether the load of the programs that counts has counted what a CPU is just told of: while the next one takes over.
/// Array of 1, for each CPU.
pub const COUNTED: &str = "COUNTED";
