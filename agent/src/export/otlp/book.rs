//! What is known of sending: how much of each signal, and whether its receiver takes it. A receiver that goes or comes
//! back is logged here, once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::{
    config::Signal,
    sample::{Dropped, Sending},
};

/// How sending is doing, by signal that is sent.
#[derive(Debug, Default)]
pub struct Book(Mutex<Vec<Sending>>);

impl Book {
    /// Everything known now.
    pub fn get(&self) -> Vec<Sending> {
        self.lock().clone()
    }

    /// The signal is sent from now on.
    pub(super) fn open(&self, signal: Signal) {
        self.lock().push(Sending {
            signal: signal.name(),
            up: None,
            sent: 0,
            dropped: [0; Dropped::ALL.len()],
        });
    }

    /// The receiver took so many.
    pub(super) fn sent(&self, signal: Signal, count: u64) {
        self.change(signal, |it| it.sent += count);
    }

    /// So many are lost, for that reason.
    pub(super) fn dropped(&self, signal: Signal, reason: Dropped, count: u64) {
        self.change(signal, |it| it.dropped[reason as usize] += count);
    }

    /// The receiver took a message.
    pub(super) fn up(&self, signal: Signal, place: &str) {
        let name = signal.name();
        match self.replace(signal, true) {
            Some(false) => info!("the OTLP receiver of {name} at {place} is back"),
            None => info!("the OTLP receiver of {name} at {place} takes them"),
            Some(true) => {}
        }
    }

    /// It did not, for that reason; `again`: the same may be sent again.
    pub(super) fn down(&self, signal: Signal, place: &str, why: &str, again: bool) {
        if self.replace(signal, false) == Some(false) {
            return;
        }
        let name = signal.name();
        if again {
            warn!("the OTLP receiver of {name} at {place} is down: {why}; trying again");
        } else {
            warn!("the OTLP receiver of {name} at {place} refuses them for good: {why}");
        }
    }

    /// Whether the receiver took a message before this one; `None`: there was none.
    fn replace(&self, signal: Signal, up: bool) -> Option<bool> {
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
        // A panic while holding it cannot leave numbers half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
