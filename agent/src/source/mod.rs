//! A source reads one kind of thing and does nothing else. This file holds what they have in common: the
//! trait, how one fails, and the thread that drives it. The one list of sources is in `agent.rs`.

mod driver;
pub mod host;
pub mod network;

pub use driver::{Place, spawn};

use crate::sample::FailureKind;

/// Something that can be read again and again.
pub trait Source: Send + 'static {
    /// What one round reads.
    type Sample: Send + Sync + 'static;

    /// The value of the label `source`, and the thread's name.
    const NAME: &'static str;

    /// Reads once. Opens what it needs on the first call, and again after a failure that lost it; it is
    /// called less and less often while it fails. May block: it has its own thread.
    ///
    /// # Errors
    /// Why nothing could be read; the driver logs and counts it.
    fn collect(&mut self) -> Result<Self::Sample, Failure>;
}

/// Why a source could not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// For the counter.
    pub kind: FailureKind,
    /// One line for a person: what failed, where, and what would mend it.
    pub reason: String,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }
}
