//! XID errors, from an event set for each device. NVML queues events from the registration on, so reading once a round
//! misses none.

use std::{ptr::null_mut, sync::Arc, time::Duration};

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::*;

use super::ffi::Device;
use crate::source::gpu::{
    error::{NvmlError, NvmlReturn},
    raw::XidEvent,
};

/// The most events that one round reads; the rest stay queued.
const MAX_EVENTS: usize = 4096;

const XID: u64 = nvmlEventTypeXidCriticalError as u64;

/// An event set with one device.
pub(super) struct EventSet {
    nvml: Arc<Nvml>,
    set: nvmlEventSet_t,
}

impl EventSet {
    /// Creates a set and registers the device for XID errors.
    pub(super) fn register(device: &Device) -> Result<Self, NvmlError> {
        let types: u64 = get!(device, nvmlDeviceGetSupportedEventTypes)?;
        if types & XID == 0 {
            return Err(NvmlError {
                call: "nvmlDeviceGetSupportedEventTypes",
                code: NvmlReturn::NOT_SUPPORTED,
            });
        }
        let mut set: nvmlEventSet_t = null_mut();
        nvml!(device.nvml, nvmlEventSetCreate(&raw mut set))?;
        let nvml = Arc::clone(&device.nvml);
        let events = Self { nvml, set };
        nvml!(
            device.nvml,
            nvmlDeviceRegisterEvents(device.handle, XID, set)
        )?;
        Ok(events)
    }

    /// Appends the queued XID errors; waits up to `timeout` for the first.
    pub(super) fn read(
        &self,
        timeout: Duration,
        xids: &mut Vec<XidEvent>,
    ) -> Result<(), NvmlError> {
        let mut wait = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        for _ in 0..MAX_EVENTS {
            // SAFETY: a structure of integers and a pointer, for which zero is valid.
            let mut event: nvmlEventData_t = unsafe { std::mem::zeroed() };
            match nvml!(
                self.nvml,
                nvmlEventSetWait_v2(self.set, &raw mut event, wait)
            ) {
                Ok(()) if event.eventType & XID != 0 => xids.push(XidEvent {
                    xid: event.eventData,
                    device: event.device.addr(),
                }),
                Ok(()) => {}
                Err(error) if error.code == NvmlReturn::TIMEOUT => break,
                Err(error) => return Err(error),
            }
            wait = 0;
        }
        Ok(())
    }
}

impl Drop for EventSet {
    fn drop(&mut self) {
        // Fails only if the driver is gone, and the set with it.
        let _ = nvml!(self.nvml, nvmlEventSetFree(self.set));
    }
}
