//! The source of the machine as a whole: loads NVML, starts a thread for each GPU, and reloads NVML when only that can
//! bring a lost GPU back.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    api::NvmlApi,
    decode,
    error::{NvmlError, NvmlReturn},
    gpu_source::{DeviceCell, GpuSource, MAX_GPUS},
    library,
    open_device::PROBE,
    raw::ConfCompute,
    registry::{GpuRegistry, LatestGpus, RegisteredGpu},
    session::NvmlSession,
    status::{GpuStatus, Health},
};
use crate::{
    backoff::Backoff,
    config::Gpu as Config,
    sample::{
        FailureKind,
        gpu::{System, ValidRange},
    },
    source::{Failure, Source, deadline, start},
};

/// The wait before a reload for lost GPUs that interrupts others.
const RELOAD_FOR_SOME: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_mins(5));

/// The same if no GPU works, so that a reload interrupts none.
const RELOAD_FOR_ALL: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));

/// Where the driver lists its GPUs. NVML counts them only when it is loaded.
const DRIVER_GPUS: &str = "/proc/driver/nvidia/gpus";

/// Starts the threads. Returns when the first round of every GPU is over, or its deadline. `range` returns a metric's
/// valid range; values outside are omitted.
///
/// # Errors
/// When the operating system has no thread left.
pub fn spawn(
    config: &Config,
    interval: Duration,
    range: fn(&str) -> Option<ValidRange>,
) -> io::Result<LatestGpus> {
    let session = Arc::new(NvmlSession::new(interval, config.processes, range));
    let registry = Arc::new(GpuRegistry::new(session));
    let manager = GpuManager {
        library: config.library.clone(),
        interval,
        registry: Arc::clone(&registry),
        driver_gpus: 0,
        lost_since: None,
        reloads: 0,
        conf_compute_at: None,
        logged_driver: None,
    };
    Ok(LatestGpus {
        system: crate::source::spawn(manager, interval)?,
        registry,
        dcgm_names: config.dcgm_names,
    })
}

struct GpuManager {
    /// `gpu.library`.
    library: String,
    interval: Duration,
    registry: Arc<GpuRegistry>,
    /// GPUs in [`DRIVER_GPUS`] when NVML was loaded.
    driver_gpus: usize,
    /// When a GPU was lost, or when NVML was last reloaded for it.
    lost_since: Option<Instant>,
    /// Reloads since then.
    reloads: u32,
    /// When to ask a driver without confidential computing again.
    conf_compute_at: Option<Instant>,
    /// The driver version that the log names as loaded.
    logged_driver: Option<String>,
}

impl Source for GpuManager {
    type Sample = System;

    fn name(&self) -> Arc<str> {
        "gpu".into()
    }

    fn collect(&mut self) -> Result<System, Failure> {
        let session = Arc::clone(&self.registry.session);
        if session.is_released() {
            return session.library().map(|_| System::default());
        }
        self.reload_if_needed();
        let library = match session.library() {
            Ok((library, _)) => library,
            Err(_) => self.load()?,
        };
        let count = library.count().map_err(|error| {
            session.count_error(error);
            let failure = Failure::new(FailureKind::Lost, error.to_string());
            self.registry.close(failure.clone());
            failure
        })?;
        if count > MAX_GPUS {
            let call = "nvmlDeviceGetCount_v2";
            let code = NvmlReturn::IMPLAUSIBLE;
            session.count_error(NvmlError { call, code });
            return Err(Failure::new(
                FailureKind::Read,
                format!("{call} returned the implausible value {count}"),
            ));
        }
        self.start_new_gpus(count)?;
        let conf_compute = self.conf_compute(&*library);
        Ok(decode::system(count, library.versions(), conf_compute))
    }
}

impl GpuManager {
    fn load(&mut self) -> Result<Arc<dyn NvmlApi>, Failure> {
        let session = &self.registry.session;
        let library =
            library::load(&self.library).inspect_err(|failure| session.close(failure.clone()))?;
        let version = library.versions().driver.as_deref().unwrap_or("unknown");
        // A reload for a lost GPU is part of that GPU's outage, which is in the log already.
        let is_news = self.reloads == 0 || self.logged_driver.as_deref() != Some(version);
        self.logged_driver = Some(version.to_owned());
        if is_news {
            info!("NVML is loaded: driver {version}");
        } else {
            debug!("NVML is loaded again: driver {version}");
        }
        if is_news && library.versions().fake {
            warn!(
                "THESE GPUS ARE FAKE: {} is a library for tests, and none of its values is real",
                self.library
            );
        }
        self.driver_gpus = driver_gpus();
        self.conf_compute_at = None;
        session.set_library(Arc::clone(&library));
        Ok(library)
    }

    /// Starts a thread for each GPU that has none.
    fn start_new_gpus(&self, count: u32) -> Result<(), Failure> {
        let known = u32::try_from(self.registry.len()).unwrap_or(u32::MAX);
        let mut started = Vec::new();
        for index in known..count {
            let (status, cell) = <(Arc<GpuStatus>, Arc<DeviceCell>)>::default();
            let session = Arc::clone(&self.registry.session);
            let source = GpuSource::new(index, session, Arc::clone(&status), Arc::clone(&cell));
            let thread = start(source, self.interval).map_err(|error| {
                let reason = format!("cannot start the thread of GPU {index}: {error}");
                Failure::new(FailureKind::Read, reason)
            })?;
            started.push((index, status, cell, thread));
        }
        let until = Instant::now() + deadline(self.interval) / 2;
        for (index, status, cell, thread) in started {
            self.registry.add(RegisteredGpu {
                id: index.to_string().into(),
                latest: thread.wait(until),
                status,
                cell,
            });
        }
        Ok(())
    }

    /// The state of confidential computing. Most GPUs do not support it, which is no failure.
    fn conf_compute(&mut self, library: &dyn NvmlApi) -> ConfCompute {
        if self.conf_compute_at.is_some_and(|at| Instant::now() < at) {
            return ConfCompute::default();
        }
        let mut has_failed = false;
        let state = library.conf_compute(&mut |error| {
            if !error.code.is_unsupported() {
                has_failed = true;
                self.registry.session.count_error(error);
            }
        });
        let is_unsupported = state == ConfCompute::default() && !has_failed;
        self.conf_compute_at = is_unsupported.then(|| Instant::now() + PROBE);
        state
    }

    /// Closes NVML, to be loaded again, if a GPU has been lost for long enough or the driver's list of GPUs has changed.
    fn reload_if_needed(&mut self) {
        let (lost, up) = (
            self.registry.count(Health::Lost),
            self.registry.count(Health::Up),
        );
        let all = self.registry.len();
        let list_changed = driver_gpus() != self.driver_gpus;
        // A GPU whose calls fail may recover by itself. If none works, a reload interrupts none and may help.
        if lost == 0 && !list_changed && (up > 0 || all == 0) {
            (self.lost_since, self.reloads) = (None, 0);
            return;
        }
        let backoff = if up == 0 {
            RELOAD_FOR_ALL
        } else {
            RELOAD_FOR_SOME
        };
        let wait = backoff.pause(self.reloads.saturating_add(1));
        if self.lost_since.get_or_insert_with(Instant::now).elapsed() >= wait {
            self.lost_since = None;
            self.reloads += 1;
            if list_changed && self.reloads == 1 {
                info!("the driver's list of GPUs has changed: reloading NVML");
            } else {
                debug!("{lost} of {all} GPUs are lost, {up} work: reloading NVML");
            }
            self.registry
                .close(Failure::new(FailureKind::Absent, "NVML is being reloaded"));
        }
    }
}

fn driver_gpus() -> usize {
    Path::new(DRIVER_GPUS).read_dir().map_or(0, Iterator::count)
}
