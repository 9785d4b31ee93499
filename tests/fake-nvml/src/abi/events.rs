//! Event sets, for XID errors only.

use std::{
    ffi::c_uint,
    ptr,
    thread::sleep,
    time::{Duration, Instant},
};

use nvml_wrapper_sys::bindings::*;

use super::{put, supported};
use crate::{
    code,
    state::{device as state_device, lock},
};

const XID: u64 = nvmlEventTypeXidCriticalError as u64;

device! {
    nvmlDeviceGetSupportedEventTypes(device, types: *mut u64) {
        supported(device.instance.is_none())?;
        put(types, XID | u64::from(nvmlEventTypeDoubleBitEccError))
    }
    nvmlDeviceRegisterEvents(device, types: u64, set: nvmlEventSet_t) {
        supported(types & !(XID | u64::from(nvmlEventTypeDoubleBitEccError)) == 0)?;
        let mut state = lock();
        let seen = device.simulated().gpu.xids.len();
        let members = state.event_sets.get_mut(&set.addr()).ok_or(code::INVALID_ARGUMENT)?;
        if !members.iter().any(|(position, _)| *position == device.position) {
            members.push((device.position, seen));
            // Earlier errors are delivered to nobody.
            state.rule_xids.remove(&device.position);
        }
        Ok(())
    }
}

system! {
    nvmlEventSetCreate(state, set: *mut nvmlEventSet_t) {
        state.last_event_set += 8;
        let number = state.last_event_set;
        state.event_sets.insert(number, Vec::new());
        put(set, ptr::without_provenance_mut(number))
    }
    nvmlEventSetFree(state, set: nvmlEventSet_t) {
        state.event_sets.remove(&set.addr()).map(drop).ok_or(code::INVALID_ARGUMENT)
    }
}

/// The next XID error of a GPU in the set.
fn take(set: usize) -> Result<Option<(nvmlDevice_t, u64)>, nvmlReturn_t> {
    let mut state = crate::state::system("nvmlEventSetWait_v2")?;
    let scenario = state.scenario().clone();
    let state = &mut *state;
    let members = state
        .event_sets
        .get_mut(&set)
        .ok_or(code::INVALID_ARGUMENT)?;
    let mut found = None;
    for (position, seen) in members {
        let Some(gpu) = scenario.gpus.get(*position) else {
            continue;
        };
        if let Some(xid) = gpu.xids.get(*seen) {
            *seen += 1;
            found = Some((*position, *xid));
            break;
        }
        if let Some(xids) = state
            .rule_xids
            .get_mut(position)
            .filter(|xids| !xids.is_empty())
        {
            found = Some((*position, xids.remove(0)));
            break;
        }
        // Only after the last event does the set report a lost GPU.
        if gpu.lost || gpu.removed {
            return Err(code::GPU_IS_LOST);
        }
    }
    Ok(found.map(|(position, xid)| {
        let named = scenario.gpus[position].events_name.unwrap_or(position);
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
            // The rules of that GPU apply too.
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
