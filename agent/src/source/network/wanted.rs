//! What is to be counted now, as the rest of the agent wants it; the network source follows at its next round.

use std::sync::{Arc, Mutex, PoisonError};

use super::{layout::Layout, tables::Resolved};
use crate::config::Config;

/// Parties and protocols, and what is known about them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The configuration.
    pub config: Config,
    /// Its host names, as far as they resolve.
    pub resolved: Resolved,
    /// The numbers of its parties and protocols, which it has taken in.
    pub layout: Layout,
}

impl Plan {
    /// For the start, with a layout of its own.
    pub fn new(config: &Config, resolved: Resolved) -> Self {
        Self {
            layout: Layout::new(config),
            config: config.clone(),
            resolved,
        }
    }
}

/// The newest plan.
#[derive(Debug)]
pub struct Wanted(Mutex<Arc<Plan>>);

impl Wanted {
    /// One that begins with a plan.
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::new(plan))))
    }

    /// Wants something else from now on. Its layout must have grown from the one before.
    pub fn set(&self, plan: Plan) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// What is wanted now.
    pub(super) fn get(&self) -> Arc<Plan> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
