//! The network source: bytes by party and protocol, counted in the kernel and attributed by BPF programs.
//!
//! What to count: `desired_state`, `layout` (numbers), `tables` (kernel tables), `slot_names` (labels), `resolve`,
//! `lookup` and `host_names` (addresses), `own_party`, `map_memory`. Counting: `btf` and `cgroup` (this machine),
//! `prepared` and `loader` (programs), `pin` (what outlives the agent), `running` (each round), `repair` and `gaps`
//! (what was detached). Reading: `decode`, `records`, `socket_owners`, `unexpected_peers`, `bpf_stats`, `clock`.
//! Explaining: `error`, `explain`, `limits`, `probe`.

mod address;
mod bpf_stats;
pub mod btf;
pub mod cgroup;
mod clock;
mod decode;
pub mod desired_state;
mod error;
mod explain;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gaps;
pub mod host_names;
mod kernel_record;
pub mod layout;
mod limits;
mod loader;
mod lookup;
pub mod map_memory;
mod own_party;
pub mod pin;
mod prepared;
mod probe;
mod records;
mod repair;
pub mod resolve;
mod running;
pub mod slot_names;
mod socket_owners;
mod sys;
pub mod tables;
mod unexpected_peers;

use std::sync::Arc;

pub use self::probe::probe;
use self::{desired_state::DesiredStateCell, pin::Pins, records::Witnesses, running::Running};
use super::{Failure, Source};
use crate::sample::{ConnectionObserver, Network};

/// Reads what the kernel side has counted.
pub struct NetworkSource {
    desired: Arc<DesiredStateCell>,
    pins: Pins,
    witnesses: Witnesses,
    running: Option<Running>,
}

impl NetworkSource {
    /// A source that has not touched anything yet. The witnesses hear of each connection if the configuration asks for
    /// it.
    pub fn new(
        desired: &Arc<DesiredStateCell>,
        pins: Pins,
        witnesses: Vec<Box<dyn ConnectionObserver>>,
    ) -> Self {
        Self {
            desired: Arc::clone(desired),
            pins,
            witnesses,
            running: None,
        }
    }
}

impl Source for NetworkSource {
    type Sample = Network;

    fn name(&self) -> Arc<str> {
        "network".into()
    }

    fn collect(&mut self) -> Result<Network, Failure> {
        let running = if let Some(running) = self.running.take() {
            running
        } else {
            Running::start(&self.desired, &mut self.pins)?
        };
        let running = self.running.insert(running);
        let gap = running.reattach()?;
        running.repin(&mut self.pins);
        running.apply(self.desired.get(), gap)?;
        let network = running.read()?;
        running.notify(&mut self.witnesses)?;
        Ok(network)
    }
}
