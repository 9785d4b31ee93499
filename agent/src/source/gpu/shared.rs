//! What the threads of all GPUs share: the library, who has which GPU, and the count of failed calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use super::{
    own::{Own, lock},
    raw::{Driver, Trouble},
};
use crate::{
    sample::{FailureKind, gpu::Range},
    source::Failure,
};

/// Shared by the fleet and its GPUs.
pub(super) struct Shared {
    /// The interval of the agent.
    pub(super) interval: Duration,
    /// Whether processes are asked for.
    pub(super) processes: bool,
    slot: Mutex<Slot>,
    claimed: Mutex<BTreeSet<Arc<str>>>,
    /// Whose the handles are, in one start of the library.
    handles: Mutex<(u64, BTreeMap<usize, Weak<Own>>)>,
    /// The values that a metric can have.
    range: fn(&str) -> Option<Range>,
    errors: Mutex<BTreeMap<Trouble, u64>>,
}

/// The library, if there is one.
enum Slot {
    Open(Arc<dyn Driver>, u64),
    Closed(Failure, u64),
    Released(Instant, u64),
}

impl Slot {
    const fn generation(&self) -> u64 {
        match self {
            Self::Open(_, generation)
            | Self::Closed(_, generation)
            | Self::Released(_, generation) => *generation,
        }
    }

    fn is_released(&self) -> bool {
        matches!(*self, Self::Released(until, _) if Instant::now() < until)
    }
}

impl Shared {
    /// Without a library yet.
    pub(super) fn new(
        interval: Duration,
        processes: bool,
        range: fn(&str) -> Option<Range>,
    ) -> Self {
        let none = Failure::new(FailureKind::Absent, "NVML has not been loaded yet");
        Self {
            interval,
            processes,
            slot: Mutex::new(Slot::Closed(none, 0)),
            claimed: Mutex::default(),
            handles: Mutex::default(),
            range,
            errors: Mutex::default(),
        }
    }

    /// The library and the number of its start.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn driver(&self) -> Result<(Arc<dyn Driver>, u64), Failure> {
        match &*lock(&self.slot) {
            Slot::Open(driver, generation) => Ok((Arc::clone(driver), *generation)),
            Slot::Closed(failure, _) => Err(failure.clone()),
            Slot::Released(..) => {
                let reason = "given up on request, so that the driver can be unloaded; it comes back by itself";
                Err(Failure::new(FailureKind::Absent, reason))
            }
        }
    }

    /// Puts a library in; not while it is given up.
    pub(super) fn put(&self, driver: Arc<dyn Driver>) {
        self.change(|generation| Slot::Open(driver, generation + 1));
    }

    /// Takes the library away; while it is given up it is away already, and for another reason.
    pub(super) fn close(&self, failure: Failure) {
        self.change(|generation| Slot::Closed(failure, generation));
    }

    fn change(&self, next: impl FnOnce(u64) -> Slot) {
        let mut slot = lock(&self.slot);
        if !slot.is_released() {
            *slot = next(slot.generation());
        }
    }

    /// Takes the library away for so long.
    pub(super) fn release(&self, until: Instant) {
        let mut slot = lock(&self.slot);
        *slot = Slot::Released(until, slot.generation());
    }

    /// Whether it is given up now.
    pub(super) fn is_released(&self) -> bool {
        lock(&self.slot).is_released()
    }

    /// Takes a GPU, by its PCI bus id, unless another thread has it.
    pub(super) fn claim(&self, bus_id: &Arc<str>) -> bool {
        lock(&self.claimed).insert(Arc::clone(bus_id))
    }

    /// Notes whose a handle is, which a start of the library has given.
    pub(super) fn name(&self, generation: u64, handle: usize, own: &Arc<Own>) {
        let mut handles = lock(&self.handles);
        if handles.0 != generation {
            *handles = (generation, BTreeMap::new());
        }
        handles.1.insert(handle, Arc::downgrade(own));
    }

    /// Whose a handle is.
    pub(super) fn named(&self, generation: u64, handle: usize) -> Option<Arc<Own>> {
        let handles = lock(&self.handles);
        let found = handles.1.get(&handle).filter(|_| handles.0 == generation);
        found.and_then(Weak::upgrade)
    }

    /// The values that a metric can have.
    pub(super) fn range(&self, metric: &str) -> Option<Range> {
        (self.range)(metric)
    }

    /// Counts a failed call.
    pub(super) fn count(&self, trouble: Trouble) {
        *lock(&self.errors).entry(trouble).or_insert(0) += 1;
    }

    /// Failed calls: call, code and how often.
    pub(super) fn errors(&self) -> Vec<(&'static str, &'static str, u64)> {
        let errors = lock(&self.errors);
        errors
            .iter()
            .map(|(trouble, count)| (trouble.call, trouble.code.name(), *count))
            .collect()
    }
}
