//! A source reads one kind of thing and does nothing else. This file holds what they have in common: the
//! trait, how one fails, and the thread that drives it. The one list of sources is in `agent.rs`.

pub mod clock;
mod driver;
pub mod gpu;
pub mod host;
pub mod idle;
pub mod network;
mod process;

pub use driver::{Ahead, LatestSample, Started, ahead, backoff, deadline, spawn, start};

use std::{sync::Arc, time::Duration};

use crate::sample::FailureKind;

/// Something that can be read again and again.
pub trait Source: Send + 'static {
    /// What one round reads.
    type Sample: Send + Sync + 'static;

    /// The value of the label `source`, and the thread's name.
    fn name(&self) -> Arc<str>;

    /// How long to wait after so many failures in a row (0: none); by default twice as long after each.
    fn pause(&self, interval: Duration, failures: u32) -> Duration {
        backoff(interval, failures)
    }

    /// What it reads, as far as that is known by now: shown beside a failure.
    fn about(&self) -> Option<Arc<str>> {
        None
    }

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
    /// Whether another source has it, too, and says so in the log.
    pub told_elsewhere: bool,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            told_elsewhere: false,
        }
    }

    /// The same for one that suffers from it and does not own it: a failure is logged once.
    #[must_use]
    pub fn elsewhere(mut self) -> Self {
        self.told_elsewhere = true;
        self
    }
}
