//! Starting and ending, versions, finding devices, confidential computing of the machine.

use std::ffi::{CStr, c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::*;

#[cfg_attr(
    feature = "old-driver",
    expect(unused_imports, reason = "of what came later")
)]
use super::{outcome, put, put_text, read, supported};
use crate::{
    state::{code, lock},
    values,
};

/// Tells who asks that this library makes its GPUs up.
#[unsafe(no_mangle)]
pub extern "C" fn partymeter_fake_nvml_version() -> u32 {
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    let mut state = lock();
    state.count("nvmlInit_v2");
    outcome(state.start())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    outcome(lock().start())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    outcome(lock().stop())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlErrorString(code: nvmlReturn_t) -> *const c_char {
    let text: &CStr = match code {
        0 => c"Success",
        3 => c"Not Supported",
        9 => c"Driver Not Loaded",
        15 => c"GPU is lost",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

system! {
    nvmlSystemGetDriverVersion(state, into: *mut c_char, length: c_uint) {
        put_text(into, length, &state.scenario.driver_version)
    }
    nvmlSystemGetNVMLVersion(state, into: *mut c_char, length: c_uint) {
        put_text(into, length, &format!("13.{}", state.scenario.driver_version))
    }
    nvmlSystemGetCudaDriverVersion(state, version: *mut c_int) { put(version, state.scenario.cuda_version) }
    nvmlSystemGetCudaDriverVersion_v2(state, version: *mut c_int) { put(version, state.scenario.cuda_version) }
    nvmlDeviceGetCount_v2(state, count: *mut c_uint) { put(count, state.indices.len() as c_uint) }
    nvmlDeviceGetHandleByIndex_v2(state, index: c_uint, device: *mut nvmlDevice_t) {
        let place = *state.indices.get(index as usize).ok_or(code::INVALID_ARGUMENT)?;
        if state.scenario.gpus.get(place).is_none_or(|gpu| gpu.lost || gpu.removed) {
            return Err(code::GPU_IS_LOST);
        }
        put(device, state.handle(place, None))
    }
    nvmlDeviceGetHandleByPciBusId_v2(state, id: *const c_char, device: *mut nvmlDevice_t) {
        if id.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: a string that ends, by NVML's interface.
        let id = unsafe { CStr::from_ptr(id) }.to_string_lossy();
        let place = state.indices.iter().find(|place| values::bus_id(**place) == id);
        let place = *place.ok_or(code::NOT_FOUND)?;
        if state.scenario.gpus.get(place).is_none_or(|gpu| gpu.lost || gpu.removed) {
            return Err(code::GPU_IS_LOST);
        }
        put(device, state.handle(place, None))
    }
    nvmlDeviceGetHandleByUUID(state, uuid: *const c_char, device: *mut nvmlDevice_t) {
        if uuid.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: a string that ends, by NVML's interface.
        let uuid = unsafe { CStr::from_ptr(uuid) }.to_string_lossy();
        let seed = state.scenario.seed;
        let place = *state.indices.iter().find(|place| values::uuid(seed, **place) == uuid).ok_or(code::NOT_FOUND)?;
        put(device, state.handle(place, None))
    }
}

#[cfg(not(feature = "old-driver"))]
system! {
    nvmlSystemGetConfComputeCapabilities(state, capabilities: *mut nvmlConfComputeSystemCaps_t) {
        let told = state.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        put(capabilities, nvmlConfComputeSystemCaps_t { cpuCaps: told.cpu, gpusCaps: 1 })
    }
    nvmlSystemGetConfComputeState(state, into: *mut nvmlConfComputeSystemState_t) {
        let told = state.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        put(into, nvmlConfComputeSystemState_t {
            environment: told.environment,
            ccFeature: told.enabled.into(),
            devToolsMode: told.devtools.into(),
        })
    }
    nvmlSystemGetConfComputeSettings(state, settings: *mut nvmlSystemConfComputeSettings_t) {
        let told = state.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        let version = read(settings)?.version;
        if version != 1 << 24 | size_of::<nvmlSystemConfComputeSettings_t>() as u32 {
            return Err(code::VERSION_MISMATCH);
        }
        put(settings, nvmlSystemConfComputeSettings_t {
            version,
            environment: told.environment,
            ccFeature: told.enabled.into(),
            devToolsMode: told.devtools.into(),
            multiGpuMode: told.multi_gpu,
        })
    }
    nvmlSystemGetConfComputeGpusReadyState(state, ready: *mut c_uint) {
        let told = state.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        put(ready, told.ready.into())
    }
}

#[cfg(not(feature = "old-driver"))]
device! {
    nvmlDeviceGetConfComputeMemSizeInfo(device, into: *mut nvmlConfComputeMemSizeInfo_t) {
        let told = device.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        let traits = device.at().gpu.model.traits();
        supported(traits.cc)?;
        let size = traits.memory << 10;
        put(into, nvmlConfComputeMemSizeInfo_t {
            protectedMemSizeKib: if told.enabled { size } else { 0 },
            unprotectedMemSizeKib: if told.enabled { 0 } else { size },
        })
    }
    nvmlDeviceGetConfComputeProtectedMemoryUsage(device, into: *mut nvmlMemory_t) {
        let told = device.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        let traits = device.at().gpu.model.traits();
        supported(traits.cc && told.enabled)?;
        let (total, used) = (traits.memory << 20, device.at().memory_used());
        put(into, nvmlMemory_t { total, free: total - used, used })
    }
}
