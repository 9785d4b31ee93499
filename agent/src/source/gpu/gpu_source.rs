//! The source of one GPU, with its own thread: opens the device, reads it, and closes it when it is lost.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    api::{DeviceSelector, NvmlApi},
    counters::CounterUnwrapper,
    error::{NvmlError, NvmlReturn},
    open_device::OpenDevice,
    plausible,
    session::NvmlSession,
    status::{GpuStatus, Health, lock},
};
use crate::{
    backoff::Backoff,
    sample::{
        FailureKind,
        gpu::{GpuInfo, Reading},
    },
    source::{Failure, Source},
};

/// More GPUs than any machine has; a library that reports more is wrong.
pub(super) const MAX_GPUS: u32 = 256;

/// None of the library's GPUs is free.
const NO_FREE_GPU: NvmlError = NvmlError {
    call: "nvmlDeviceGetHandleByIndex_v2",
    code: NvmlReturn::NOT_FOUND,
};

/// The open device of a GPU. Its source holds the lock during a round, so that others close it between rounds only.
#[derive(Default)]
pub(super) struct DeviceCell(Mutex<Option<OpenDevice>>);

impl DeviceCell {
    /// Closes the device; gives up if its round lasts until the deadline.
    pub(super) fn close(&self, deadline: Instant) {
        loop {
            if let Ok(mut open) = self.0.try_lock() {
                *open = None;
                return;
            }
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last failure, and until when it stands without another try.
struct Retry {
    failure: Failure,
    at: Instant,
    /// A newer generation of the library is tried at once.
    generation: u64,
}

/// Reads one GPU.
pub(super) struct GpuSource {
    index: u32,
    session: Arc<NvmlSession>,
    status: Arc<GpuStatus>,
    cell: Arc<DeviceCell>,
    /// Set when the GPU is first opened: indices move, the bus id does not.
    bus_id: Option<Arc<str>>,
    /// Outlives the open device, because its counters do.
    counters: CounterUnwrapper,
    retry: Option<Retry>,
    failures: u32,
    /// Metrics that are omitted as implausible; the log says so once.
    implausible: BTreeSet<&'static str>,
}

impl GpuSource {
    /// The source of the GPU with this index.
    pub(super) fn new(
        index: u32,
        session: Arc<NvmlSession>,
        status: Arc<GpuStatus>,
        cell: Arc<DeviceCell>,
    ) -> Self {
        Self {
            index,
            session,
            status,
            cell,
            bus_id: None,
            counters: CounterUnwrapper::default(),
            retry: None,
            failures: 0,
            implausible: BTreeSet::new(),
        }
    }

    /// Opens the GPU that was open before; the first time the one at the index, or else one that no other thread has.
    fn open(&mut self, library: &dyn NvmlApi, generation: u64) -> Result<OpenDevice, NvmlError> {
        let open = |selector| OpenDevice::new(library, generation, &selector, &self.session);
        if let Some(id) = &self.bus_id {
            return open(DeviceSelector::BusId(Arc::clone(id)));
        }
        let others = (0..library.count()?.min(MAX_GPUS)).filter(|index| *index != self.index);
        let mut last = None;
        for index in std::iter::once(self.index).chain(others) {
            match open(DeviceSelector::Index(index)) {
                Ok(open) => {
                    let id: Arc<str> = open.info.pci_bus_id.as_str().into();
                    if self.session.assign(&id) {
                        self.bus_id = Some(id);
                        return Ok(open);
                    }
                }
                Err(error) if index == self.index => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(NO_FREE_GPU))
    }

    /// Reads the device. Opens it first if it is closed or belongs to an earlier generation of the library.
    fn round(
        &mut self,
        device: &mut Option<OpenDevice>,
        library: &dyn NvmlApi,
        generation: u64,
    ) -> Result<Reading, NvmlError> {
        let mut open = match device.take() {
            Some(open) if open.generation == generation => open,
            outdated => {
                // Before another is opened: it keeps its library loaded.
                drop(outdated);
                let opened = self.open(library, generation);
                let opened = opened.inspect_err(|error| self.session.count_error(*error))?;
                self.status.set_info(Arc::clone(&opened.info));
                self.session
                    .register_handle(generation, opened.device.handle(), &self.status);
                opened
            }
        };
        let result = open.round(&self.status, &self.session, &mut self.counters);
        match result {
            Ok(reading) => {
                *device = Some(open);
                Ok(self.without_implausible(reading))
            }
            Err(error) => {
                // The XID error that explains the failure may have come during the round, and ends with the device.
                open.drain(&self.status, &self.session);
                Err(error)
            }
        }
    }

    /// Removes implausible values from a reading; logs when that begins and ends.
    fn without_implausible(&mut self, mut reading: Reading) -> Reading {
        let found = plausible::remove_implausible(&mut reading, &|it| self.session.range(it));
        let index = self.index;
        for it in &found {
            let (metric, call, value) = (it.metric, it.call, it.value);
            self.session.count_error(NvmlError {
                call,
                code: NvmlReturn::IMPLAUSIBLE,
            });
            if self.implausible.insert(metric) {
                warn!(
                    gpu_id = index,
                    "{metric} of GPU {index} is omitted: {call} returned the implausible value {value}"
                );
            }
        }
        self.implausible.retain(|metric| {
            let still = found.iter().any(|it| it.metric == *metric);
            if !still {
                info!(gpu_id = index, "{metric} of GPU {index} is back");
            }
            still
        });
        reading
    }
}

impl Source for GpuSource {
    type Sample = Reading;

    fn name(&self) -> Arc<str> {
        format!("gpu{}", self.index).into()
    }

    fn about(&self) -> Option<Arc<str>> {
        let info = self.status.info()?;
        let GpuInfo {
            model,
            uuid,
            pci_bus_id,
            ..
        } = &*info;
        Some(format!("{model}, {uuid}, {pci_bus_id}").into())
    }

    /// A round before the next retry asks nothing of the device.
    fn backs_off(&self) -> bool {
        false
    }

    fn collect(&mut self) -> Result<Reading, Failure> {
        let cell = Arc::clone(&self.cell);
        // Locked before the library is asked for: whoever closes the library waits for this lock, and no device is opened
        // in a closed library.
        let mut device = lock(&cell.0);
        let (library, generation) = self.session.library().map_err(Failure::logged_elsewhere)?;
        if let Some(retry) = &self.retry
            && generation == retry.generation
            && Instant::now() < retry.at
        {
            return Err(retry.failure.clone());
        }
        match self.round(&mut device, &*library, generation) {
            Ok(reading) => {
                self.status.set_health(Health::Up);
                (self.retry, self.failures) = (None, 0);
                Ok(reading)
            }
            Err(error) => {
                let is_lost = error.code.is_fatal() || error.code == NvmlReturn::NOT_FOUND;
                let (health, kind) = if is_lost {
                    (Health::Lost, FailureKind::Lost)
                } else {
                    (Health::Failed, FailureKind::Read)
                };
                self.status.set_health(health);
                self.failures += 1;
                let failure = Failure::new(kind, error.to_string());
                self.retry = Some(Retry {
                    failure: failure.clone(),
                    at: Instant::now()
                        + Backoff::of_reads(self.session.interval).pause(self.failures),
                    generation,
                });
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests;
