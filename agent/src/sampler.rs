//! Puts the newest of every source into one snapshot. Asking costs a lock and a reference count per source,
//! so every exporter asks for itself, and none waits for a device.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    ledger::writer::Counts,
    sample::{
        Host, Idle, Network, Snapshot, export_stats::ExportStats, reload_status::ReloadStatus,
    },
    source::{
        LatestSample,
        clock::{self, Moment},
        gpu::LatestGpus,
    },
};

/// The places of the enabled sources.
pub struct Sampler {
    /// When the agent started.
    pub started: SystemTime,
    /// The node's name.
    pub node: Arc<str>,
    /// `None`: switched off.
    pub network: Option<Arc<LatestSample<Network>>>,
    /// `None`: switched off.
    pub gpus: Option<Arc<LatestGpus>>,
    /// `None`: one of the two is switched off.
    pub idle: Option<Arc<LatestSample<Idle>>>,
    /// `None`: switched off.
    pub host: Option<Arc<LatestSample<Host>>>,
    /// How the configuration is doing.
    pub configuration: Arc<ReloadStatus>,
    /// How sending by OTLP is doing.
    pub otlp: Arc<ExportStats>,
    /// How the ledger is doing; `None` where there is none.
    pub ledger: Option<Arc<Counts>>,
}

impl Sampler {
    /// Whether GPUs are read here at all.
    pub fn has_gpus(&self) -> bool {
        self.gpus.is_some()
    }

    /// Gives the GPUs up, and says for how long; `None` when their source is off. Blocks for up to a second.
    pub fn release_gpus(&self) -> Option<Duration> {
        self.gpus.as_ref().map(|gpus| gpus.release())
    }

    /// Everything known now.
    pub fn snapshot(&self) -> Snapshot {
        let now = clock::now();
        let mut sources = Vec::new();
        let network = look(self.network.as_deref(), &now, &mut sources);
        let gpus = self.gpus.as_ref().map(|gpus| gpus.look(&now, &mut sources));
        let idle = look(self.idle.as_deref(), &now, &mut sources);
        let host = look(self.host.as_deref(), &now, &mut sources);
        Snapshot {
            taken: SystemTime::now(),
            started: self.started,
            node: Arc::clone(&self.node),
            network,
            gpus,
            idle,
            host,
            sources,
            configuration: self.configuration.get(),
            otlp: self.otlp.get(),
            ledger: self.ledger.as_ref().map(|counts| counts.get()),
        }
    }
}

fn look<T>(
    place: Option<&LatestSample<T>>,
    now: &Moment,
    sources: &mut Vec<crate::sample::SourceHealth>,
) -> Option<Arc<T>> {
    let (sample, health) = place?.look(now);
    sources.push(health);
    sample
}
