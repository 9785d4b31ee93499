//! The interface between the GPU source and NVML. Above it nothing calls NVML; tests put a fake behind it.

use std::{sync::Arc, time::Duration};

use super::{
    error::NvmlError,
    field::FieldValue,
    raw::{ConfCompute, Identity, RawReading, Versions, XidEvent},
};

/// A loaded and initialised NVML library.
pub(super) trait NvmlApi: Send + Sync {
    /// Versions, which are constant while the library is loaded.
    fn versions(&self) -> &Versions;

    /// The number of GPUs (`nvmlDeviceGetCount_v2`).
    fn count(&self) -> Result<u32, NvmlError>;

    /// Opens a GPU. Without persistence mode this can take seconds.
    fn open(&self, selector: &DeviceSelector) -> Result<Box<dyn DeviceHandle>, NvmlError>;

    /// The machine's state of confidential computing; passes each failed call to `failed`.
    fn conf_compute(&self, failed: &mut dyn FnMut(NvmlError)) -> ConfCompute;
}

/// Which GPU to open.
#[derive(Clone, Debug)]
pub(super) enum DeviceSelector {
    /// The NVML index.
    Index(u32),
    /// The PCI bus id, as NVML writes it.
    BusId(Arc<str>),
}

/// One open GPU.
pub(super) trait DeviceHandle: Send {
    /// The GPU's constant properties.
    fn identity(&mut self) -> Result<Identity, NvmlError>;

    /// The handle by which [`XidEvent::device`] names this GPU; valid until the library is reloaded.
    fn handle(&self) -> usize;

    /// Appends the XID errors since the last call, in order, and waits up to `timeout` for the first. Those read before
    /// an error are appended too.
    fn xids(&mut self, timeout: Duration, xids: &mut Vec<XidEvent>) -> Result<(), NvmlError>;

    /// The schedule of each call of [`DeviceHandle::call`], in the order in which they are made.
    fn schedules(&self) -> Vec<Schedule>;

    /// Makes one call and stores its answer in `raw`.
    fn call(&mut self, index: usize, raw: &mut RawReading) -> Result<(), NvmlError>;

    /// Reads all fields with one call. A field's own failure is its value.
    fn fields(&mut self, fields: &mut [FieldValue]) -> Result<(), NvmlError>;
}

/// How often a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Every round.
    EveryRound,
    /// Every 10 s: limits, links, and what an administrator changes.
    Slow,
    /// Every round, if processes are to be read.
    Processes,
}
