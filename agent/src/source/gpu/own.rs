//! What all know of one GPU, whoever reads it: who it is, how it does, and which XID errors it had.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::sample::gpu::{Facts, Xid};

/// The most numbers of XID errors that are kept of a GPU, whatever its library says.
const MOST: usize = 512;

/// What the source, the fleet and the sampler know of one GPU.
#[derive(Default)]
pub(super) struct Own {
    /// Who it is, once it was open.
    facts: Mutex<Option<Arc<Facts>>>,
    /// Since the agent started.
    xids: Mutex<BTreeMap<u64, Xid>>,
    state: AtomicU8,
}

/// How a GPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is read, or was not tried yet.
    Up,
    /// Something failed that another try may mend.
    Failed,
    /// Only a new start of the library can bring it back.
    Lost,
}

impl Own {
    /// Who it is, once it was open.
    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        lock(&self.facts).clone()
    }

    /// Notes who it is.
    pub(super) fn identify(&self, facts: Arc<Facts>) {
        *lock(&self.facts) = Some(facts);
    }

    /// XID errors since the agent started.
    pub(super) fn xids(&self) -> Vec<Xid> {
        lock(&self.xids).values().copied().collect()
    }

    /// How it does.
    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Up,
            1 => State::Failed,
            _ => State::Lost,
        }
    }

    /// Notes how it does.
    pub(super) fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Counts an XID error; says whether there was room for its number. There are about two hundred.
    pub(super) fn note(&self, xid: u64) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let mut known = lock(&self.xids);
        if known.len() >= MOST && !known.contains_key(&xid) {
            return false;
        }
        let entry = known.entry(xid).or_insert(Xid {
            xid,
            count: 0,
            last: now,
        });
        entry.count += 1;
        entry.last = now;
        true
    }
}

/// A panic while holding one of these cannot leave it half-written in a way that matters.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
