//! The connections of clients. Each is accepted at once; if there are too many, another is closed: first one that has never
//! sent a byte, then one between two requests, then one with an incomplete request, last one that is being answered, and
//! among those the one that has been in that state longest. So every client gets an answer, whatever others do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::AbortHandle;

use crate::export::progress::Progress;

/// The limit of all answers that clients have not read. Unit: bytes.
const UNREAD: usize = 32 << 20;

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    clients: HashMap<u64, (Arc<Progress>, Option<AbortHandle>)>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            open: Mutex::default(),
        }
    }

    /// Adds a connection. Returns true if that closes another, which ends once its task runs.
    pub(super) fn enter(self: &Arc<Self>, progress: Arc<Progress>) -> (Guard, bool) {
        let mut open = self.lock();
        let mut gone = false;
        while open.clients.len() >= self.most {
            let first = open
                .clients
                .iter()
                .min_by_key(|(_, (progress, _))| progress.rank());
            let Some(first) = first.map(|(number, _)| *number) else {
                break;
            };
            if let Some((_, Some(task))) = open.clients.remove(&first) {
                task.abort();
            }
            gone = true;
        }
        let number = open.next;
        open.next += 1;
        open.clients.insert(number, (progress, None));
        let all = Arc::clone(self);
        (Guard { all, number }, gone)
    }

    /// Closes the connections that have not read their answers for longest, until an answer of that many bytes fits.
    pub(super) fn hold(&self, own: &Arc<Progress>, bytes: usize) {
        let mut open = self.lock();
        let mut held: usize = open.clients.values().map(|(it, _)| it.held()).sum();
        while held.saturating_add(bytes) > UNREAD {
            let others = open
                .clients
                .iter()
                .filter(|(_, (it, _))| it.held() > 0 && !Arc::ptr_eq(it, own));
            let first = others.min_by_key(|(_, (it, _))| it.rank());
            let Some(first) = first.map(|(number, _)| *number) else {
                break;
            };
            if let Some((progress, task)) = open.clients.remove(&first) {
                held = held.saturating_sub(progress.held());
                task.iter().for_each(AbortHandle::abort);
            }
        }
        own.hold(bytes);
    }

    /// Sets the task to abort to close the connection.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some((_, guard)) = self.lock().clients.get_mut(&number) {
            *guard = Some(task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes its connection when dropped.
#[derive(Debug)]
pub(super) struct Guard {
    all: Arc<Connections>,
    pub(super) number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.all.lock().clients.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::progress::Phase;

    #[test]
    fn the_least_active_connection_is_closed_first() {
        let all = Arc::new(Connections::new(5));
        let enter = || {
            let progress = Progress::new();
            let (guard, gone) = all.enter(Arc::clone(&progress));
            (progress, guard, gone)
        };
        let there = |number: u64| all.lock().clients.contains_key(&number);
        let first: Vec<_> = (0..5).map(|_| enter()).collect();
        assert!(first.iter().all(|(_, _, gone)| !gone));
        let phases = [
            Phase::Answered,
            Phase::Asking,
            Phase::Idle,
            Phase::Silent,
            Phase::Idle,
        ];
        for ((progress, ..), phase) in first.iter().zip(phases) {
            progress.enter(phase);
        }
        let mut kept = Vec::new();
        for expected in [3, 2, 4, 1, 0] {
            let (progress, guard, gone) = enter();
            progress.enter(Phase::Answered);
            assert!(gone && !there(expected), "{expected}");
            kept.push((progress, guard));
        }
        // The guard of a connection that was closed removes no other.
        drop(first);
        assert_eq!(all.lock().clients.len(), 5);
    }

    #[test]
    fn unread_answers_are_bounded() {
        let all = Arc::new(Connections::new(100));
        let mut kept = Vec::new();
        for _ in 0..20 {
            let progress = Progress::new();
            let (guard, _) = all.enter(Arc::clone(&progress));
            progress.enter(Phase::Answered);
            all.hold(&progress, UNREAD / 8);
            kept.push((progress, guard));
        }
        let there = all.lock().clients.keys().copied().min();
        assert_eq!((all.lock().clients.len(), there), (8, Some(12)));
        // A client that has read its answer holds nothing, and a single answer above the limit is still sent.
        kept[19].0.enter(Phase::Idle);
        all.hold(&kept[18].0, UNREAD * 2);
        assert_eq!(all.lock().clients.len(), 2);
    }
}
