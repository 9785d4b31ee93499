//! A bounded queue. When it is full it drops new items and counts them: the first messages of a failure matter most.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// The largest number of items.
const CAPACITY: usize = 4096;

/// Items in the order of their arrival.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    overflow: AtomicU64,
    arrived: Notify,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            overflow: AtomicU64::new(0),
            arrived: Notify::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds an item if there is room. Never blocks.
    pub(super) fn push(&self, item: T) {
        let mut items = self.lock();
        if items.len() < CAPACITY {
            items.push_back(item);
            drop(items);
            self.arrived.notify_one();
        } else {
            drop(items);
            self.count_overflow();
        }
    }

    /// Counts an item that was dropped.
    pub(super) fn count_overflow(&self) {
        self.overflow.fetch_add(1, Ordering::Relaxed);
        self.arrived.notify_one();
    }

    /// Removes up to `limit` items, the oldest first.
    pub(super) fn take(&self, limit: usize) -> Vec<T> {
        let mut items = self.lock();
        let count = items.len().min(limit);
        items.drain(..count).collect()
    }

    /// The number of items that were dropped since the last call.
    pub(super) fn take_overflow(&self) -> u64 {
        self.overflow.swap(0, Ordering::Relaxed)
    }

    /// Returns once an item has arrived.
    pub(super) async fn wait(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_keeps_the_oldest_items_and_counts_the_rest() {
        let queue = Queue::default();
        (0..CAPACITY + 3).for_each(|item| queue.push(item));
        assert_eq!((queue.take_overflow(), queue.take_overflow()), (3, 0));
        assert_eq!(queue.take(2), [0, 1]);
        queue.push(9999);
        let rest = queue.take(usize::MAX);
        assert_eq!((rest.len(), rest.last()), (CAPACITY - 1, Some(&9999)));
        assert!(queue.take(1).is_empty());
    }
}
