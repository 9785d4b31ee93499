//! What to count, as the rest of the agent wants it. The network source follows in its next round.

use std::sync::{Arc, Mutex, PoisonError};

use super::{layout::Layout, tables::Resolved};
use crate::config::Config;

/// Parties, protocols and what is known about them.
#[derive(Clone, Debug)]
pub struct DesiredState {
    /// The configuration.
    pub config: Config,
    /// Its host names, as far as they are resolved.
    pub resolved: Resolved,
    /// The numbers of its parties and protocols.
    pub layout: Layout,
}

impl DesiredState {
    /// For a start, with a layout of its own.
    pub fn new(config: &Config, resolved: Resolved) -> Self {
        Self {
            layout: Layout::new(config),
            config: config.clone(),
            resolved,
        }
    }
}

/// The newest desired state.
#[derive(Debug)]
pub struct DesiredStateCell(Mutex<Arc<DesiredState>>);

impl DesiredStateCell {
    /// Starts with a state.
    pub fn new(plan: DesiredState) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::new(plan))))
    }

    /// Replaces the state. Its layout must be an extension of the previous one.
    pub fn set(&self, plan: DesiredState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// The newest state.
    pub(super) fn get(&self) -> Arc<DesiredState> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
