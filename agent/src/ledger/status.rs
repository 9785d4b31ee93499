//! The state of the ledger: counts of connections, and what fails at the moment.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::sample::LedgerState;

/// What can fail independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Write connections that have ended.
    Write,
    /// Remove files that are too many or too old.
    Remove,
    /// Write the list of open connections.
    List,
}

impl Task {
    const ALL: [Self; 3] = [Self::Write, Self::Remove, Self::List];

    /// A verb phrase that follows "cannot".
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Write => "write connections",
            Self::Remove => "remove old files",
            Self::List => "write the list of open connections",
        }
    }
}

/// Shared between the worker and those who read it.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    written: AtomicU64,
    overflow: AtomicU64,
    failed: AtomicU64,
    problems: Mutex<[Option<String>; Task::ALL.len()]>,
}

impl Counts {
    /// The current state. Each ended connection is in one of `written`, `overflow`, `failed` and `pending`.
    pub fn get(&self) -> LedgerState {
        // Read in this order, `written` and `failed` never exceed `accepted`.
        let written = self.written.load(Ordering::Acquire);
        let failed = self.failed.load(Ordering::Acquire);
        let accepted = self.accepted.load(Ordering::Acquire);
        let problems = self.problems();
        LedgerState {
            written,
            overflow: self.overflow.load(Ordering::Relaxed),
            failed,
            pending: accepted.saturating_sub(written).saturating_sub(failed),
            is_writable: problems[Task::Write as usize].is_none(),
            problems: problems.iter().flatten().cloned().collect(),
        }
    }

    /// Counts a connection that is about to be queued.
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Release);
    }

    /// Counts a connection that the full queue has refused.
    pub(super) fn overflow(&self) {
        self.accepted.fetch_sub(1, Ordering::Release);
        self.overflow.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts connections that are in a file.
    pub(super) fn written(&self, connections: u64) {
        self.written.fetch_add(connections, Ordering::Release);
    }

    /// Counts connections that could not be written.
    pub(super) fn failed(&self, connections: u64) {
        self.failed.fetch_add(connections, Ordering::Release);
    }

    /// How many connections were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.failed.load(Ordering::Acquire) + self.overflow.load(Ordering::Relaxed)
    }

    /// Sets or clears the failure of a task. Returns whether it was failing before.
    pub(super) fn set(&self, task: Task, problem: Option<String>) -> bool {
        let before = std::mem::replace(&mut self.problems()[task as usize], problem);
        before.is_some()
    }

    pub(super) fn is_failing(&self, task: Task) -> bool {
        self.problems()[task as usize].is_some()
    }

    fn problems(&self) -> MutexGuard<'_, [Option<String>; Task::ALL.len()]> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_in_one_count() {
        let counts = Counts::default();
        for _ in 0..10 {
            counts.accept();
        }
        counts.overflow();
        counts.written(4);
        counts.failed(2);
        let now = counts.get();
        assert_eq!(
            (now.written, now.overflow, now.failed, now.pending),
            (4, 1, 2, 3)
        );
        assert!(now.is_writable && now.problems.is_empty());
        assert!(!counts.set(Task::Write, Some("full".to_owned())));
        assert!(counts.set(Task::Write, Some("full".to_owned())));
        assert!(!counts.get().is_writable);
        counts.set(Task::Remove, Some("old".to_owned()));
        assert!(counts.set(Task::Write, None));
        let now = counts.get();
        assert!(now.is_writable && now.problems == ["old"]);
    }
}
