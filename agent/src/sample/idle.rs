//! Upper bounds of how long GPUs were idle while this node waited for a party.

use std::sync::Arc;

/// The sums of all GPUs and pairs.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    /// One entry for each GPU with a reading and each pair with a wait.
    pub waits: Vec<IdleWait>,
}

/// The sum for one GPU and one pair.
#[derive(Clone, Debug, PartialEq)]
pub struct IdleWait {
    /// As [`gpu::Gpu::id`].
    pub gpu: Arc<str>,
    /// As [`Traffic::party`].
    pub party: Arc<str>,
    /// As [`Traffic::protocol`].
    pub protocol: Arc<str>,
    /// Since the agent started, in seconds.
    pub seconds: f64,
}
