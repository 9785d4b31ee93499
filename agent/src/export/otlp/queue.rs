//! What waits to be sent: of bounded length. When it is full, what comes is counted and left out, so that the beginning
//! of a trouble is what is kept.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// How many may wait.
const LENGTH: usize = 4096;

/// Items in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    overflow: AtomicU64,
    came: Notify,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            overflow: AtomicU64::new(0),
            came: Notify::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds one, if there is room. Never waits for who sends.
    pub(super) fn push(&self, item: T) {
        let mut items = self.lock();
        if items.len() < LENGTH {
            items.push_back(item);
            drop(items);
            self.came.notify_one();
        } else {
            drop(items);
            self.refuse();
        }
    }

    /// Counts one that does not come in.
    pub(super) fn refuse(&self) {
        self.overflow.fetch_add(1, Ordering::Relaxed);
        self.came.notify_one();
    }

    /// Up to so many, the oldest first.
    pub(super) fn take(&self, most: usize) -> Vec<T> {
        let mut items = self.lock();
        let count = items.len().min(most);
        items.drain(..count).collect()
    }

    /// How many did not fit since this was asked last.
    pub(super) fn overflow(&self) -> u64 {
        self.overflow.swap(0, Ordering::Relaxed)
    }

    /// Returns once something has come.
    pub(super) async fn wait(&self) {
        self.came.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_came_first_and_counts_the_rest() {
        let queue = Queue::default();
        (0..LENGTH + 3).for_each(|item| queue.push(item));
        assert_eq!((queue.overflow(), queue.overflow()), (3, 0));
        assert_eq!(queue.take(2), [0, 1]);
        queue.push(9999);
        let rest = queue.take(usize::MAX);
        assert_eq!((rest.len(), rest.last()), (LENGTH - 1, Some(&9999)));
        assert!(queue.take(1).is_empty());
    }
}
