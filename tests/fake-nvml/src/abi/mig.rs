//! MIG instances.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::*;

use super::{device::whole, put, supported};
use crate::{code, state::lock};

device! {
    nvmlDeviceGetMigMode(device, now: *mut c_uint, pending: *mut c_uint) {
        whole(&device)?;
        let gpu = device.simulated().gpu;
        supported(gpu.model.traits().mig)?;
        put(now, u32::from(!gpu.mig.is_empty()))?;
        put(pending, u32::from(!gpu.mig.is_empty()))
    }
    nvmlDeviceGetMaxMigDeviceCount(device, count: *mut c_uint) {
        whole(&device)?;
        let most = if device.simulated().gpu.model.traits().mig { 7 } else { 0 };
        put(count, device.answer("nvmlDeviceGetMaxMigDeviceCount", most) as u32)
    }
    nvmlDeviceGetMigDeviceHandleByIndex(device, index: c_uint, into: *mut nvmlDevice_t) {
        whole(&device)?;
        if index as usize >= device.simulated().gpu.mig.len() {
            return Err(code::NOT_FOUND);
        }
        put(into, lock().handle(device.position, Some(index as usize)))
    }
    nvmlDeviceGetGpuInstanceId(device, id: *mut c_uint) {
        put(id, device.mig().ok_or(code::NOT_SUPPORTED)?.gpu_instance)
    }
    nvmlDeviceGetComputeInstanceId(device, id: *mut c_uint) {
        put(id, device.mig().ok_or(code::NOT_SUPPORTED)?.compute_instance)
    }
}
