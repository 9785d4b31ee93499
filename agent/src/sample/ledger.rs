//! The state of the connection ledger.

/// The state of the ledger. Counts begin when the agent starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Connections written to a file.
    pub written: u64,
    /// Connections lost because too many were waiting.
    pub overflow: u64,
    /// Connections lost because writing failed.
    pub failed: u64,
    /// Connections that wait to be written.
    pub pending: u64,
    /// Whether the last write succeeded.
    pub is_writable: bool,
    /// Current failures, in one line each with the help.
    pub problems: Vec<String>,
}
