//! An open device.

use std::time::Duration;

use nvml_wrapper_sys::bindings::*;

use super::{
    calls::{CALLS, DeviceState},
    events::EventSet,
    ffi::{Device, read_string, string},
    field_values,
};
use crate::source::gpu::{
    api::{DeviceHandle, Schedule},
    error::NvmlError,
    field::FieldValue,
    raw::{Identity, Number, RawReading, XidEvent},
};

/// An open device, with what NVML allocates for it.
pub(super) struct NvmlDevice {
    state: DeviceState,
    /// Registered at the first read.
    events: Option<EventSet>,
}

// SAFETY: NVML's functions may be called from any thread (NVML API reference, "Thread safety"), so its handles are not
// bound to one; nothing else holds the event set and the GPM samples, which are freed when this is dropped.
unsafe impl Send for NvmlDevice {}

impl NvmlDevice {
    /// A device that was just opened.
    pub(super) fn new(device: Device) -> Self {
        Self {
            state: DeviceState::new(device),
            events: None,
        }
    }
}

impl DeviceHandle for NvmlDevice {
    fn identity(&mut self) -> Result<Identity, NvmlError> {
        let Device { nvml, handle } = &self.state.device;
        let pci: nvmlPciInfo_t = get!(self.state.device, nvmlDeviceGetPciInfo_v3)?;
        Ok(Identity {
            uuid: read_string(|into, length| {
                nvml!(nvml, nvmlDeviceGetUUID(*handle, into, length))
            })?,
            name: read_string(|into, length| {
                nvml!(nvml, nvmlDeviceGetName(*handle, into, length))
            })?,
            bus_id: string(&pci.busId),
            vbios: read_string(|into, length| {
                nvml!(nvml, nvmlDeviceGetVbiosVersion(*handle, into, length))
            })
            .ok(),
            minor: get!(self.state.device, nvmlDeviceGetMinorNumber).ok(),
        })
    }

    fn handle(&self) -> usize {
        self.state.device.handle.addr()
    }

    fn xids(&mut self, timeout: Duration, xids: &mut Vec<XidEvent>) -> Result<(), NvmlError> {
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(EventSet::register(&self.state.device)?),
        };
        events.read(timeout, xids)
    }

    fn schedules(&self) -> Vec<Schedule> {
        CALLS.iter().map(|call| call.0).collect()
    }

    fn call(&mut self, index: usize, raw: &mut RawReading) -> Result<(), NvmlError> {
        CALLS
            .get(index)
            .map_or(Ok(()), |call| call.1(&mut self.state, raw))
    }

    fn fields(&mut self, fields: &mut [FieldValue]) -> Result<(), NvmlError> {
        field_values::read(&self.state.device, fields)?;
        let is_count = |field: &&FieldValue| field.id == field_id::NVML_FI_DEV_NVLINK_LINK_COUNT;
        if let Some(count) = fields.iter().find(is_count) {
            let count = count.value.ok().and_then(Number::whole);
            self.state.links = count.and_then(|count| count.try_into().ok());
        }
        Ok(())
    }
}
