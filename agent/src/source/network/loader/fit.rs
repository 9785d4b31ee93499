//! What the programs are fitted to, and what is missing of them.

use agent_ebpf::{Offsets, Settings};

use super::{Error, MessageHooks, Refused};
use crate::source::network::{btf::Hooks, pin::Base};

/// What was wanted and goes without, because of what.
#[derive(Debug, Default)]
pub(in super::super) struct Missing {
    /// The iterators that find every open account.
    pub(in super::super) accounts: Option<Error>,
    /// `socket_events`.
    pub(in super::super) events: Option<Error>,
    /// The programs that count messages.
    pub(in super::super) messages: Option<Error>,
    /// Those that count datagrams.
    pub(in super::super) udp: Option<Error>,
    /// The one that takes datagrams back that found no room.
    pub(in super::super) refused: Option<Error>,
    /// The one that does it for IPv6, where the other is not told.
    pub(in super::super) refused_v6: Option<Error>,
}

/// What the programs are fitted to.
pub(in super::super) struct Fit {
    /// What of the running kernel programs are attached by.
    pub(in super::super) hooks: Hooks,
    /// To the running kernel.
    pub(in super::super) offsets: Offsets,
    /// What they do.
    pub(in super::super) settings: Settings,
    /// Whether an iterator may walk socket storage, see [`crate::source::network::btf::Kernel`].
    pub(in super::super) storage_iterators: bool,
    /// Whether `socket_events` is among them.
    pub(in super::super) events: bool,
    /// The hooks of the programs that count messages; `None` without them.
    pub(in super::super) messages: Option<MessageHooks>,
    /// What tells of datagrams without room; `None` where datagrams are not counted.
    pub(in super::super) udp: Option<Refused>,
    /// How many slots there are.
    pub(in super::super) slots: u32,
    /// How many histograms there may be.
    pub(in super::super) histograms: u32,
    /// What they start from.
    pub(in super::super) base: Base,
    /// The least severe of their messages.
    pub(in super::super) log: Option<tracing::Level>,
}

impl Fit {
    /// The level as aya-log-ebpf reads it; 0 is off.
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
