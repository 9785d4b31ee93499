//! The state of one GPU that several threads see: its properties, its health, and its XID errors.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::sample::gpu::{GpuInfo, Xid};

/// How many different XID numbers are kept for a GPU. NVIDIA documents about two hundred; the limit bounds memory and
/// series if a library reports arbitrary ones.
const MAX_XIDS: usize = 512;

/// What the source, the manager and the sampler know of one GPU.
#[derive(Default)]
pub(super) struct GpuStatus {
    info: Mutex<Option<Arc<GpuInfo>>>,
    xids: Mutex<BTreeMap<u64, Xid>>,
    health: AtomicU8,
}

/// A GPU's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The last round succeeded, or there was none yet.
    Up,
    /// The last round failed; the next may succeed.
    Failed,
    /// The GPU is lost until NVML is reloaded.
    Lost,
}

impl GpuStatus {
    /// The GPU's properties; `None` before it is first opened.
    pub(super) fn info(&self) -> Option<Arc<GpuInfo>> {
        lock(&self.info).clone()
    }

    /// Stores the GPU's properties.
    pub(super) fn set_info(&self, info: Arc<GpuInfo>) {
        *lock(&self.info) = Some(info);
    }

    /// XID errors since the agent started.
    pub(super) fn xids(&self) -> Vec<Xid> {
        lock(&self.xids).values().copied().collect()
    }

    /// The GPU's health.
    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Up,
            1 => Health::Failed,
            _ => Health::Lost,
        }
    }

    /// Stores the GPU's health.
    pub(super) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    /// Counts an XID error; returns whether there was room for its number.
    pub(super) fn count_xid(&self, xid: u64) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let mut known = lock(&self.xids);
        if known.len() >= MAX_XIDS && !known.contains_key(&xid) {
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

/// Locks a mutex of the GPU source; a panic of its last holder cannot have left the content inconsistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
