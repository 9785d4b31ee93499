//! Whether the last reload of the configuration succeeded. The reloader writes it, and every snapshot has a copy.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::Configuration;

/// The state of the configuration.
#[derive(Debug)]
pub struct ReloadStatus(Mutex<Configuration>);

impl Default for ReloadStatus {
    /// With a configuration that has just been loaded.
    fn default() -> Self {
        Self(Mutex::new(Configuration {
            success: true,
            taken: SystemTime::now(),
        }))
    }
}

impl ReloadStatus {
    /// A copy of the current state.
    pub fn get(&self) -> Configuration {
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
