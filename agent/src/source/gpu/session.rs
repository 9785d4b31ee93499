//! What all GPU threads share: the loaded library, which thread reads which GPU, and the counts of failed calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use super::{
    api::NvmlApi,
    error::NvmlError,
    status::{GpuStatus, lock},
};
use crate::{
    sample::{FailureKind, gpu::ValidRange},
    source::Failure,
};

/// The state that the manager and the GPU sources share.
pub(super) struct NvmlSession {
    /// The agent's interval.
    pub(super) interval: Duration,
    /// Whether processes are read.
    pub(super) reads_processes: bool,
    library: Mutex<Library>,
    /// PCI bus ids of the GPUs that have a thread.
    assigned: Mutex<BTreeSet<Arc<str>>>,
    /// The generation of the library, and the GPU of each of its device handles.
    handles: Mutex<(u64, BTreeMap<usize, Weak<GpuStatus>>)>,
    range: fn(&str) -> Option<ValidRange>,
    errors: Mutex<BTreeMap<NvmlError, u64>>,
}

/// The library or why there is none, each with the generation: how often NVML has been loaded.
enum Library {
    Loaded(Arc<dyn NvmlApi>, u64),
    Unavailable(Failure, u64),
    Released(Instant, u64),
}

impl Library {
    const fn generation(&self) -> u64 {
        match self {
            Self::Loaded(_, generation)
            | Self::Unavailable(_, generation)
            | Self::Released(_, generation) => *generation,
        }
    }

    fn is_released(&self) -> bool {
        matches!(*self, Self::Released(until, _) if Instant::now() < until)
    }
}

impl NvmlSession {
    /// A session without a library. `range` returns a metric's valid range.
    pub(super) fn new(
        interval: Duration,
        reads_processes: bool,
        range: fn(&str) -> Option<ValidRange>,
    ) -> Self {
        let none = Failure::new(FailureKind::Absent, "NVML has not been loaded yet");
        Self {
            interval,
            reads_processes,
            library: Mutex::new(Library::Unavailable(none, 0)),
            assigned: Mutex::default(),
            handles: Mutex::default(),
            range,
            errors: Mutex::default(),
        }
    }

    /// The library and its generation.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn library(&self) -> Result<(Arc<dyn NvmlApi>, u64), Failure> {
        match &*lock(&self.library) {
            Library::Loaded(library, generation) => Ok((Arc::clone(library), *generation)),
            Library::Unavailable(failure, _) => Err(failure.clone()),
            Library::Released(..) => {
                let reason = "released on request so that the driver can be unloaded; comes back without a restart";
                Err(Failure::new(FailureKind::Absent, reason))
            }
        }
    }

    /// Stores a newly loaded library, unless the GPUs are released.
    pub(super) fn set_library(&self, library: Arc<dyn NvmlApi>) {
        self.replace(|generation| Library::Loaded(library, generation + 1));
    }

    /// Drops the library. While the GPUs are released it is gone already, and that reason stays.
    pub(super) fn close(&self, failure: Failure) {
        self.replace(|generation| Library::Unavailable(failure, generation));
    }

    fn replace(&self, next: impl FnOnce(u64) -> Library) {
        let mut library = lock(&self.library);
        if !library.is_released() {
            *library = next(library.generation());
        }
    }

    /// Drops the library and refuses another until then.
    pub(super) fn release(&self, until: Instant) {
        let mut library = lock(&self.library);
        *library = Library::Released(until, library.generation());
    }

    /// Whether the GPUs are released now.
    pub(super) fn is_released(&self) -> bool {
        lock(&self.library).is_released()
    }

    /// Assigns the GPU with this PCI bus id to the caller; `false` if another thread has it.
    pub(super) fn assign(&self, bus_id: &Arc<str>) -> bool {
        lock(&self.assigned).insert(Arc::clone(bus_id))
    }

    /// Registers the GPU of a device handle, so that events that name the handle reach it.
    pub(super) fn register_handle(&self, generation: u64, handle: usize, gpu: &Arc<GpuStatus>) {
        let mut handles = lock(&self.handles);
        if handles.0 != generation {
            *handles = (generation, BTreeMap::new());
        }
        handles.1.insert(handle, Arc::downgrade(gpu));
    }

    /// The GPU of a device handle; handles of another generation have none.
    pub(super) fn gpu_of_handle(&self, generation: u64, handle: usize) -> Option<Arc<GpuStatus>> {
        let handles = lock(&self.handles);
        let found = handles.1.get(&handle).filter(|_| handles.0 == generation);
        found.and_then(Weak::upgrade)
    }

    /// A metric's valid range; `None` if it has none.
    pub(super) fn range(&self, metric: &str) -> Option<ValidRange> {
        (self.range)(metric)
    }

    /// Counts a failed call.
    pub(super) fn count_error(&self, error: NvmlError) {
        *lock(&self.errors).entry(error).or_insert(0) += 1;
    }

    /// Failed calls since the agent started: call, code, count.
    pub(super) fn errors(&self) -> Vec<(&'static str, &'static str, u64)> {
        let errors = lock(&self.errors);
        errors
            .iter()
            .map(|(error, count)| (error.call, error.code.name(), *count))
            .collect()
    }
}
