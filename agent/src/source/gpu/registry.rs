//! Every GPU that was ever seen, and their newest samples.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::info;

use super::{
    gpu_source::DeviceCell,
    session::NvmlSession,
    status::{GpuStatus, Health, lock},
};
use crate::{
    sample::{
        SourceHealth,
        gpu::{Gpu, Gpus, Reading, System},
    },
    source::{Failure, LatestSample, clock::Moment},
};

/// How long the GPUs stay released.
const RELEASE: Duration = Duration::from_mins(1);

/// How long closing waits for rounds under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The newest samples of all GPUs, for the sampler.
pub struct LatestGpus {
    pub(super) system: Arc<LatestSample<System>>,
    pub(super) registry: Arc<GpuRegistry>,
    pub(super) dcgm_names: bool,
}

impl LatestGpus {
    /// The newest samples; the health of each source is added to `sources`.
    pub fn look(&self, now: &Moment, sources: &mut Vec<SourceHealth>) -> Gpus {
        let (system, health) = self.system.look(now);
        sources.push(health);
        let gpus = lock(&self.registry.gpus);
        let gpus = gpus.iter().map(|gpu| {
            let (reading, health) = gpu.latest.look(now);
            let sample = Gpu {
                id: Arc::clone(&gpu.id),
                info: gpu.status.info(),
                reading,
                down: health.kind,
                xids: gpu.status.xids(),
            };
            sources.push(health);
            sample
        });
        Gpus {
            gpus: gpus.collect(),
            system,
            errors: self.registry.session.errors(),
            dcgm_names: self.dcgm_names,
        }
    }

    /// Closes NVML and all GPUs for a minute, so that the driver can be unloaded. Returns once they are closed, or after
    /// a second if a GPU does not respond. Returns how long they stay closed.
    pub fn release(&self) -> Duration {
        info!(
            "releasing the GPUs for {} s so that the driver can be unloaded",
            RELEASE.as_secs()
        );
        self.registry.session.release(Instant::now() + RELEASE);
        self.registry.close_devices();
        RELEASE
    }
}

/// Every GPU that was ever seen, in the order of their ids.
pub(super) struct GpuRegistry {
    pub(super) session: Arc<NvmlSession>,
    gpus: Mutex<Vec<RegisteredGpu>>,
}

/// A GPU that has a thread.
pub(super) struct RegisteredGpu {
    pub(super) id: Arc<str>,
    pub(super) latest: Arc<LatestSample<Reading>>,
    pub(super) status: Arc<GpuStatus>,
    pub(super) cell: Arc<DeviceCell>,
}

impl GpuRegistry {
    /// A registry without GPUs.
    pub(super) fn new(session: Arc<NvmlSession>) -> Self {
        Self {
            session,
            gpus: Mutex::default(),
        }
    }

    /// How many GPUs were ever seen.
    pub(super) fn len(&self) -> usize {
        lock(&self.gpus).len()
    }

    /// How many GPUs have this health.
    pub(super) fn count(&self, health: Health) -> usize {
        let gpus = lock(&self.gpus);
        let with_health = gpus.iter().filter(|gpu| gpu.status.health() == health);
        with_health.count()
    }

    /// Adds a GPU.
    pub(super) fn add(&self, gpu: RegisteredGpu) {
        lock(&self.gpus).push(gpu);
    }

    /// Closes the library and all devices.
    pub(super) fn close(&self, failure: Failure) {
        self.session.close(failure);
        self.close_devices();
    }

    fn close_devices(&self) {
        let cells: Vec<_> = lock(&self.gpus)
            .iter()
            .map(|gpu| Arc::clone(&gpu.cell))
            .collect();
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        for cell in cells {
            cell.close(deadline);
        }
    }
}
