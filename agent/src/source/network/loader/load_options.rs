//! What to load.

use agent_ebpf::{Offsets, Settings};

use super::{hooks::MessageHooks, udp::UdpDropHooks};
use crate::source::network::{btf::AttachTargets, pin::StartPoint};

pub(crate) struct LoadOptions {
    pub(crate) hooks: AttachTargets,
    pub(crate) offsets: Offsets,
    pub(crate) settings: Settings,
    /// Whether an iterator may walk socket storage, see [`crate::source::network::btf::Kernel`].
    pub(crate) storage_iterators: bool,
    /// Whether to load `socket_events`.
    pub(crate) events: bool,
    /// `None`: messages are not counted.
    pub(crate) message_hooks: Option<MessageHooks>,
    /// `None`: datagrams are not counted.
    pub(crate) udp: Option<UdpDropHooks>,
    pub(crate) slots: u32,
    pub(crate) histograms: u32,
    pub(crate) start_point: StartPoint,
    /// The lowest level of the BPF side's log; `None`: off.
    pub(crate) log: Option<tracing::Level>,
}

impl LoadOptions {
    /// The level as aya-log-ebpf reads it; 0: off.
    pub(super) fn log_level(&self) -> u8 {
        match self.log {
            None => 0,
            Some(tracing::Level::ERROR) => 1,
            Some(tracing::Level::WARN) => 2,
            Some(tracing::Level::INFO) => 3,
            Some(tracing::Level::DEBUG) => 4,
            Some(tracing::Level::TRACE) => 5,
        }
    }
}
