//! Combines the newest sample of every source in a snapshot. That costs a lock and a reference count for each source, so
//! each exporter takes its own, and none waits for a device.

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

/// The newest samples of the enabled sources; `None` for one that is disabled.
pub struct Sampler {
    /// When the agent started.
    pub started: SystemTime,
    /// The node's name.
    pub node: Arc<str>,
    /// The network source.
    pub network: Option<Arc<LatestSample<Network>>>,
    /// The GPU sources.
    pub gpus: Option<Arc<LatestGpus>>,
    /// Needs both.
    pub idle: Option<Arc<LatestSample<Idle>>>,
    /// The host source.
    pub host: Option<Arc<LatestSample<Host>>>,
    /// Whether reloads succeed.
    pub configuration: Arc<ReloadStatus>,
    /// The state of the OTLP export.
    pub otlp: Arc<ExportStats>,
    /// The state of the ledger; `None`: it is disabled.
    pub ledger: Option<Arc<Counts>>,
}

impl Sampler {
    /// Whether the GPU sources are enabled.
    pub fn has_gpus(&self) -> bool {
        self.gpus.is_some()
    }

    /// Releases the GPUs and returns for how long; `None`: their sources are disabled. Blocks for up to a second.
    pub fn release_gpus(&self) -> Option<Duration> {
        self.gpus.as_ref().map(|gpus| gpus.release())
    }

    /// A snapshot of the newest samples.
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
    latest: Option<&LatestSample<T>>,
    now: &Moment,
    sources: &mut Vec<crate::sample::SourceHealth>,
) -> Option<Arc<T>> {
    let (sample, health) = latest?.look(now);
    sources.push(health);
    sample
}
