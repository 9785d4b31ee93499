//! XID errors, from an event set of the device's own. NVML queues them from the moment of registration, so a look
//! once a round misses none.

use std::{sync::Arc, time::Duration};

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::*;

use super::{
    super::raw::{Code, Event, Trouble},
    Device,
};

/// At most so many in a round; what is left comes in the next.
const MOST: usize = 4096;

const XID: u64 = nvmlEventTypeXidCriticalError as u64;

/// An event set with one device in it.
pub(super) struct Set {
    nvml: Arc<Nvml>,
    set: nvmlEventSet_t,
}

impl Drop for Set {
    fn drop(&mut self) {
        // A set that cannot be freed belongs to a library that has been shut down.
        let _ = nvml!(self.nvml, nvmlEventSetFree(self.set));
    }
}

impl Device {
    pub(super) fn read_xids(
        &mut self,
        patience: Duration,
        xids: &mut Vec<Event>,
    ) -> Result<(), Trouble> {
        let nvml = Arc::clone(&self.nvml);
        if self.events.is_none() {
            let types: u64 = get!(self, nvmlDeviceGetSupportedEventTypes)?;
            if types & XID == 0 {
                return Err(Trouble {
                    call: "nvmlDeviceGetSupportedEventTypes",
                    code: Code::NOT_SUPPORTED,
                });
            }
            let mut set: nvmlEventSet_t = std::ptr::null_mut();
            nvml!(nvml, nvmlEventSetCreate(&raw mut set))?;
            let set = Set {
                nvml: Arc::clone(&nvml),
                set,
            };
            nvml!(nvml, nvmlDeviceRegisterEvents(self.handle, XID, set.set))?;
            self.events = Some(set);
        }
        let Some(Set { set, .. }) = &self.events else {
            return Ok(());
        };
        let mut wait = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        for _ in 0..MOST {
            // SAFETY: a structure of integers and a pointer, for which zero is a value.
            let mut event: nvmlEventData_t = unsafe { std::mem::zeroed() };
            match nvml!(nvml, nvmlEventSetWait_v2(*set, &raw mut event, wait)) {
                Ok(()) if event.eventType & XID != 0 => xids.push(Event {
                    xid: event.eventData,
                    device: event.device.addr(),
                }),
                Ok(()) => {}
                Err(Trouble {
                    code: Code::TIMEOUT,
                    ..
                }) => break,
                Err(error) => return Err(error),
            }
            wait = 0;
        }
        Ok(())
    }
}
