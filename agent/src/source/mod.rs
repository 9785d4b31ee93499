//! Sources: each reads one thing. Here are the trait, the failure type, and the driver that runs a source on a thread. The
//! list of sources is in `agent.rs`.

pub mod clock;
mod driver;
pub mod gpu;
pub mod host;
pub mod idle;
pub mod network;
mod process;

pub use driver::{LatestSample, ReadyThread, Started, deadline, spawn, start, start_thread};

use std::sync::Arc;

use crate::sample::FailureKind;

/// Something that is read periodically.
pub trait Source: Send + 'static {
    /// The result of a round.
    type Sample: Send + Sync + 'static;

    /// The value of the label `source`, and the name of the thread.
    fn name(&self) -> Arc<str>;

    /// Whether its rounds become rarer while it fails.
    fn backs_off(&self) -> bool {
        true
    }

    /// A description of what it reads, shown with a failure; `None` until it is known.
    fn about(&self) -> Option<Arc<str>> {
        None
    }

    /// Reads once. Opens what it needs on the first call, and again after a failure. May block: it has its own thread.
    ///
    /// # Errors
    /// If nothing could be read. The driver logs and counts it.
    fn collect(&mut self) -> Result<Self::Sample, Failure>;
}

/// Why a source could not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// For the counter.
    pub kind: FailureKind,
    /// One line: what failed, where, and the help.
    pub reason: String,
    /// Whether another source logs it.
    pub logged_elsewhere: bool,
}

impl Failure {
    /// A failure that its source logs.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            logged_elsewhere: false,
        }
    }

    /// The same failure for a source that depends on the one that logs it.
    #[must_use]
    pub fn logged_elsewhere(mut self) -> Self {
        self.logged_elsewhere = true;
        self
    }
}
