//! Puts the newest of every source into one snapshot. Asking costs a lock and a reference count per source,
//! so every exporter asks for itself, and none waits for a device.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use crate::{
    reload::Status,
    sample::{Host, Network, Snapshot},
    source::Place,
};

/// The places of the enabled sources.
pub struct Sampler {
    /// The node's name.
    pub node: Arc<str>,
    /// `None`: switched off.
    pub network: Option<Arc<Place<Network>>>,
    /// `None`: switched off.
    pub host: Option<Arc<Place<Host>>>,
    /// How the configuration is doing.
    pub configuration: Arc<Status>,
}

impl Sampler {
    /// Everything known now.
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut sources = Vec::new();
        let network = look(self.network.as_deref(), now, &mut sources);
        let host = look(self.host.as_deref(), now, &mut sources);
        Snapshot {
            taken: SystemTime::now(),
            node: Arc::clone(&self.node),
            network,
            host,
            sources,
            configuration: self.configuration.get(),
        }
    }
}

fn look<T>(
    place: Option<&Place<T>>,
    now: Instant,
    sources: &mut Vec<crate::sample::SourceHealth>,
) -> Option<Arc<T>> {
    let (sample, health) = place?.look(now);
    sources.push(health);
    sample
}
