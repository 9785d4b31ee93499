//! How exporting by OTLP is doing. The exporters write it, and every snapshot has a copy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Dropped, Sending};
use crate::config::Signal;

/// Counts and state of each signal that is sent.
#[derive(Debug, Default)]
pub struct ExportStats(Mutex<Vec<Sending>>);

impl ExportStats {
    /// A copy of the current values.
    pub fn get(&self) -> Vec<Sending> {
        self.lock().clone()
    }

    /// Adds a signal, with all its counters at 0.
    pub fn add_signal(&self, signal: Signal) {
        self.lock().push(Sending {
            signal: signal.name(),
            up: None,
            sent: 0,
            dropped: [0; Dropped::ALL.len()],
        });
    }

    /// The receiver has accepted that many items.
    pub fn add_sent(&self, signal: Signal, count: u64) {
        self.change(signal, |it| it.sent += count);
    }

    /// That many items are lost.
    pub fn add_dropped(&self, signal: Signal, reason: Dropped, count: u64) {
        self.change(signal, |it| it.dropped[reason as usize] += count);
    }

    /// Whether the receiver accepted the last message. Returns the state before; `None`: there was no message.
    pub fn set_up(&self, signal: Signal, up: bool) -> Option<bool> {
        let mut before = None;
        self.change(signal, |it| before = it.up.replace(up));
        before
    }

    fn change(&self, signal: Signal, change: impl FnOnce(&mut Sending)) {
        if let Some(it) = self.lock().iter_mut().find(|it| it.signal == signal.name()) {
            change(it);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sending>> {
        // Each change is one assignment: a panic leaves the counts whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
