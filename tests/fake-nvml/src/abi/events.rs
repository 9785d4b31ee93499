//! Event sets, of XID errors only.

use std::{
    ffi::c_uint,
    ptr,
    thread::sleep,
    time::{Duration, Instant},
};

use nvml_wrapper_sys::bindings::*;

use super::{put, supported};
use crate::state::{code, device as state_device, lock};

const XID: u64 = nvmlEventTypeXidCriticalError as u64;

device! {
    nvmlDeviceGetSupportedEventTypes(device, types: *mut u64) {
        supported(device.instance.is_none())?;
        put(types, XID | u64::from(nvmlEventTypeDoubleBitEccError))
    }
    nvmlDeviceRegisterEvents(device, types: u64, set: nvmlEventSet_t) {
        supported(types & !(XID | u64::from(nvmlEventTypeDoubleBitEccError)) == 0)?;
        let mut state = lock();
        let seen = device.at().gpu.xids.len();
        let members = state.sets.get_mut(&set.addr()).ok_or(code::INVALID_ARGUMENT)?;
        if !members.iter().any(|(place, _)| *place == device.place) {
            members.push((device.place, seen));
            // What came before is nobody's.
            state.died.remove(&device.place);
        }
        Ok(())
    }
}

system! {
    nvmlEventSetCreate(state, set: *mut nvmlEventSet_t) {
        state.next_set += 8;
        let number = state.next_set;
        state.sets.insert(number, Vec::new());
        put(set, ptr::without_provenance_mut(number))
    }
    nvmlEventSetFree(state, set: nvmlEventSet_t) {
        state.sets.remove(&set.addr()).map(drop).ok_or(code::INVALID_ARGUMENT)
    }
}

/// Takes an event that waits, of some GPU in the set.
fn take(set: usize) -> Result<Option<(nvmlDevice_t, u64)>, nvmlReturn_t> {
    let mut state = crate::state::system("nvmlEventSetWait_v2")?;
    let scenario = state.scenario.clone();
    let state = &mut *state;
    let members = state.sets.get_mut(&set).ok_or(code::INVALID_ARGUMENT)?;
    let mut found = None;
    for (place, seen) in members {
        let Some(gpu) = scenario.gpus.get(*place) else {
            continue;
        };
        if let Some(xid) = gpu.xids.get(*seen) {
            *seen += 1;
            found = Some((*place, *xid));
            break;
        }
        if let Some(died) = state.died.get_mut(place).filter(|died| !died.is_empty()) {
            found = Some((*place, died.remove(0)));
            break;
        }
        // With nothing left to say, it tells that one has gone.
        if gpu.lost || gpu.removed {
            return Err(code::GPU_IS_LOST);
        }
    }
    Ok(found.map(|(place, xid)| {
        let named = scenario.gpus[place].events_name.unwrap_or(place);
        (state.handle(named, None), xid)
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    milliseconds: c_uint,
) -> nvmlReturn_t {
    let end = Instant::now() + Duration::from_millis(milliseconds.into());
    let run = || loop {
        if let Some((device, xid)) = take(set.addr())? {
            // A call of that GPU that hangs hangs here, too.
            drop(state_device("nvmlEventSetWait_v2", device));
            return put(
                data,
                nvmlEventData_t {
                    device,
                    eventType: XID,
                    eventData: xid,
                    gpuInstanceId: u32::MAX,
                    computeInstanceId: u32::MAX,
                },
            );
        }
        if Instant::now() >= end {
            return Err(code::TIMEOUT);
        }
        sleep(Duration::from_millis(5));
    };
    super::outcome(run())
}
