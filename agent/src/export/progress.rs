//! What a client of the metrics page does, and since when. Its connection writes it; `http::connections` reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What a client does, in the order in which connections are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// Has sent nothing yet.
    Silent,
    /// Between two requests.
    Idle,
    /// Has sent part of a request.
    Asking,
    /// Has sent a request and not yet read the whole answer.
    Answered,
}

/// The phase of one client, and since when.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    phase: AtomicU8,
    /// Nanoseconds after `began`.
    since: AtomicU64,
    /// Bytes of an answer that may not have been read.
    held: AtomicUsize,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            phase: AtomicU8::new(Phase::Silent as u8),
            since: AtomicU64::new(0),
            held: AtomicUsize::new(0),
        })
    }

    /// Sets the bytes of the answer.
    pub(super) fn hold(&self, bytes: usize) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    /// The bytes of the answer.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Enters a phase.
    pub(super) fn enter(&self, phase: Phase) {
        if phase != Phase::Answered {
            self.hold(0);
        }
        if self.phase.swap(phase as u8, Ordering::Relaxed) != phase as u8 {
            let since = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.since.store(since, Ordering::Relaxed);
        }
    }

    /// The connection with the least rank is closed first.
    pub(super) fn rank(&self) -> (u8, Instant) {
        let since = Duration::from_nanos(self.since.load(Ordering::Relaxed));
        let since = self.began.checked_add(since).unwrap_or(self.began);
        (self.phase.load(Ordering::Relaxed), since)
    }
}
