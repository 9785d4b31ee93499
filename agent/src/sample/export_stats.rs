//! The state of the OTLP export. The exporters write it, and every snapshot has a copy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Signal;

/// The state of one signal's export.
#[derive(Clone, Debug)]
pub struct SignalStats {
    /// The value of the label `signal`: `metrics`, `logs` or `traces`.
    pub signal: &'static str,
    /// Whether the receiver accepted the last message; `None` before the first.
    pub up: Option<bool>,
    /// Data points, log records or spans that the receiver accepted.
    pub sent: u64,
    /// Those that were not sent or not accepted, by [`ExportDropReason`].
    pub dropped: [u64; ExportDropReason::ALL.len()],
}

/// Why an item was not sent or not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportDropReason {
    /// The receiver accepted the message, but not the item.
    Rejected,
    /// The receiver refused the message.
    Refused,
    /// It could not be sent in time; newer points replace it.
    Replaced,
    /// Too many items were waiting.
    Overflow,
    /// The agent stopped before it could be sent.
    Shutdown,
}

impl ExportDropReason {
    /// Every reason, in the order of [`SignalStats::dropped`].
    pub const ALL: [Self; 5] = [
        Self::Rejected,
        Self::Refused,
        Self::Replaced,
        Self::Overflow,
        Self::Shutdown,
    ];

    /// The value of the label `reason`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Overflow => "overflow",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Counts and state of each signal that is sent.
#[derive(Debug, Default)]
pub struct ExportStats(Mutex<Vec<SignalStats>>);

impl ExportStats {
    /// A copy of the current values.
    pub fn get(&self) -> Vec<SignalStats> {
        self.lock().clone()
    }

    /// Adds a signal, with all its counters at 0.
    pub fn add_signal(&self, signal: Signal) {
        self.lock().push(SignalStats {
            signal: signal.name(),
            up: None,
            sent: 0,
            dropped: [0; ExportDropReason::ALL.len()],
        });
    }

    /// The receiver has accepted that many items.
    pub fn add_sent(&self, signal: Signal, count: u64) {
        self.change(signal, |it| it.sent += count);
    }

    /// That many items are lost.
    pub fn add_dropped(&self, signal: Signal, reason: ExportDropReason, count: u64) {
        self.change(signal, |it| it.dropped[reason as usize] += count);
    }

    /// Whether the receiver accepted the last message. Returns the state before; `None`: there was no message.
    pub fn set_up(&self, signal: Signal, up: bool) -> Option<bool> {
        let mut before = None;
        self.change(signal, |it| before = it.up.replace(up));
        before
    }

    fn change(&self, signal: Signal, change: impl FnOnce(&mut SignalStats)) {
        if let Some(it) = self.lock().iter_mut().find(|it| it.signal == signal.name()) {
            change(it);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SignalStats>> {
        // Each change is one assignment: a panic leaves the counts whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
