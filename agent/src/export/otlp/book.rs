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

    /// Whether the receiver takes what it gets, and if not, why.
    pub(super) fn state(&self, signal: Signal, place: &str, trouble: Option<&str>) {
        let mut before = None;
        self.change(signal, |it| before = it.up.replace(trouble.is_none()));
        let name = signal.name();
        match (before, trouble) {
            (Some(false), None) => info!("the OTLP receiver of {name} at {place} is back"),
            (None, None) => info!("the OTLP receiver of {name} at {place} takes them"),
            (None | Some(true), Some(why)) => {
                warn!("the OTLP receiver of {name} at {place} is down: {why}; trying again");
            }
            _ => {}
        }
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
