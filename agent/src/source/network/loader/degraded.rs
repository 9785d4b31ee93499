//! What could not be loaded or attached.

use crate::source::network::error::BpfError;

/// The reason for each feature that is missing.
#[derive(Debug, Default)]
pub(crate) struct Degraded {
    /// The iterators over socket storage.
    pub(crate) accounts: Option<BpfError>,
    pub(crate) events: Option<BpfError>,
    /// The programs that count messages.
    pub(crate) messages: Option<BpfError>,
    /// The programs that count datagrams.
    pub(crate) udp: Option<BpfError>,
    /// The program that subtracts dropped datagrams.
    pub(crate) udp_drops: Option<BpfError>,
    /// The same for IPv6, where the tracepoint does not fire for it.
    pub(crate) udp_drops_v6: Option<BpfError>,
}
