//! Whether the last reload of the configuration succeeded. The reloader writes it, and every snapshot has a copy.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// The state of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ReloadState {
    /// Whether it was valid when it was last read.
    pub success: bool,
    /// When it was last loaded.
    pub taken: SystemTime,
}

/// A shared [`ReloadState`].
#[derive(Debug)]
pub struct ReloadStatus(Mutex<ReloadState>);

impl Default for ReloadStatus {
    /// With a configuration that has just been loaded.
    fn default() -> Self {
        Self(Mutex::new(ReloadState {
            success: true,
            taken: SystemTime::now(),
        }))
    }
}

impl ReloadStatus {
    /// A copy of the current state.
    pub fn get(&self) -> ReloadState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reload has succeeded or failed.
    pub fn set(&self, success: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.success = success;
        if success {
            state.taken = SystemTime::now();
        }
    }
}
