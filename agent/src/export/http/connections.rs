//! The connections of clients. Every one is taken at once; where there are too many, another has to go: first one that
//! has never sent a byte, then one between two requests, then one whose request is not whole, and last one that is
//! being answered; of those the one that has been so for longest. So whoever asks is answered, whatever others do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::AbortHandle;

use crate::export::progress::Progress;

/// Answers that clients do not read, together. Unit: bytes.
const HELD: usize = 32 << 20;

/// All connections that are open.
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

    /// Takes another one in; true if one had to go for it, which ends once its task runs.
    pub(super) fn enter(self: &Arc<Self>, progress: Arc<Progress>) -> (Place, bool) {
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
        (Place { all, number }, gone)
    }

    /// Has those go that have not read their answers for longest, until there is room for another of so many bytes.
    pub(super) fn hold(&self, own: &Arc<Progress>, bytes: usize) {
        let mut open = self.lock();
        let mut held: usize = open.clients.values().map(|(it, _)| it.held()).sum();
        while held.saturating_add(bytes) > HELD {
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

    /// What to end for the connection to go.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some((_, place)) = self.lock().clients.get_mut(&number) {
            *place = Some(task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<Connections>,
    pub(super) number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().clients.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::progress::Phase;

    #[test]
    fn who_asks_stays_and_who_has_been_silent_for_longest_goes() {
        let all = Arc::new(Connections::new(5));
        let enter = || {
            let progress = Progress::new();
            let (place, gone) = all.enter(Arc::clone(&progress));
            (progress, place, gone)
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
            let (progress, place, gone) = enter();
            progress.enter(Phase::Answered);
            assert!(gone && !there(expected), "{expected}");
            kept.push((progress, place));
        }
        // A place that was taken away frees no other.
        drop(first);
        assert_eq!(all.lock().clients.len(), 5);
    }

    #[test]
    fn answers_that_nobody_reads_are_bounded() {
        let all = Arc::new(Connections::new(100));
        let mut kept = Vec::new();
        for _ in 0..20 {
            let progress = Progress::new();
            let (place, _) = all.enter(Arc::clone(&progress));
            progress.enter(Phase::Answered);
            all.hold(&progress, HELD / 8);
            kept.push((progress, place));
        }
        let there = all.lock().clients.keys().copied().min();
        assert_eq!((all.lock().clients.len(), there), (8, Some(12)));
        // One that has read all holds nothing, and a page that is too large by itself still goes out.
        kept[19].0.enter(Phase::Idle);
        all.hold(&kept[18].0, HELD * 2);
        assert_eq!(all.lock().clients.len(), 2);
    }
}
