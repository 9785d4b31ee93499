//! Initialisation, versions, device handles, and confidential computing of the machine.

use std::ffi::{CStr, c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::*;

#[cfg_attr(
    feature = "old-driver",
    expect(unused_imports, reason = "for functions of newer drivers")
)]
use super::{outcome, put, put_text, read, supported};
use crate::{code, state::lock, values};

/// Tells a program that the GPUs of this library are fake.
#[unsafe(no_mangle)]
pub extern "C" fn partymeter_fake_nvml_version() -> u32 {
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    let mut state = lock();
    state.enter("nvmlInit_v2");
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
        put_text(into, length, &state.scenario().driver_version)
    }
    nvmlSystemGetNVMLVersion(state, into: *mut c_char, length: c_uint) {
        put_text(into, length, &format!("13.{}", state.scenario().driver_version))
    }
    nvmlSystemGetCudaDriverVersion(state, version: *mut c_int) { put(version, state.scenario().cuda_version) }
    nvmlSystemGetCudaDriverVersion_v2(state, version: *mut c_int) { put(version, state.scenario().cuda_version) }
    nvmlDeviceGetCount_v2(state, count: *mut c_uint) { put(count, state.indices.len() as c_uint) }
    nvmlDeviceGetHandleByIndex_v2(state, index: c_uint, device: *mut nvmlDevice_t) {
        let position = *state.indices.get(index as usize).ok_or(code::INVALID_ARGUMENT)?;
        if state.scenario().gpus.get(position).is_none_or(|gpu| gpu.lost || gpu.removed) {
            return Err(code::GPU_IS_LOST);
        }
        put(device, state.handle(position, None))
    }
    nvmlDeviceGetHandleByPciBusId_v2(state, id: *const c_char, device: *mut nvmlDevice_t) {
        if id.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and NVML's callers pass a string that ends with a NUL.
        let id = unsafe { CStr::from_ptr(id) }.to_string_lossy();
        let position = state.indices.iter().find(|position| values::bus_id(**position) == id);
        let position = *position.ok_or(code::NOT_FOUND)?;
        if state.scenario().gpus.get(position).is_none_or(|gpu| gpu.lost || gpu.removed) {
            return Err(code::GPU_IS_LOST);
        }
        put(device, state.handle(position, None))
    }
    nvmlDeviceGetHandleByUUID(state, uuid: *const c_char, device: *mut nvmlDevice_t) {
        if uuid.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and NVML's callers pass a string that ends with a NUL.
        let uuid = unsafe { CStr::from_ptr(uuid) }.to_string_lossy();
        let seed = state.scenario().seed;
        let position = *state.indices.iter().find(|position| values::uuid(seed, **position) == uuid).ok_or(code::NOT_FOUND)?;
        put(device, state.handle(position, None))
    }
}

#[cfg(not(feature = "old-driver"))]
system! {
    nvmlSystemGetConfComputeCapabilities(state, capabilities: *mut nvmlConfComputeSystemCaps_t) {
        let cc = state.scenario().conf_compute.ok_or(code::NOT_SUPPORTED)?;
        put(capabilities, nvmlConfComputeSystemCaps_t { cpuCaps: cc.cpu, gpusCaps: 1 })
    }
    nvmlSystemGetConfComputeState(state, into: *mut nvmlConfComputeSystemState_t) {
        let cc = state.scenario().conf_compute.ok_or(code::NOT_SUPPORTED)?;
        put(into, nvmlConfComputeSystemState_t {
            environment: cc.environment,
            ccFeature: cc.enabled.into(),
            devToolsMode: cc.devtools.into(),
        })
    }
    nvmlSystemGetConfComputeSettings(state, settings: *mut nvmlSystemConfComputeSettings_t) {
        let cc = state.scenario().conf_compute.ok_or(code::NOT_SUPPORTED)?;
        let version = read(settings)?.version;
        if version != 1 << 24 | size_of::<nvmlSystemConfComputeSettings_t>() as u32 {
            return Err(code::VERSION_MISMATCH);
        }
        put(settings, nvmlSystemConfComputeSettings_t {
            version,
            environment: cc.environment,
            ccFeature: cc.enabled.into(),
            devToolsMode: cc.devtools.into(),
            multiGpuMode: cc.multi_gpu,
        })
    }
    nvmlSystemGetConfComputeGpusReadyState(state, ready: *mut c_uint) {
        let cc = state.scenario().conf_compute.ok_or(code::NOT_SUPPORTED)?;
        put(ready, cc.ready.into())
    }
}

#[cfg(not(feature = "old-driver"))]
device! {
    nvmlDeviceGetConfComputeMemSizeInfo(device, into: *mut nvmlConfComputeMemSizeInfo_t) {
        let cc = device.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        let traits = device.simulated().gpu.model.traits();
        supported(traits.cc)?;
        let size = traits.memory << 10;
        put(into, nvmlConfComputeMemSizeInfo_t {
            protectedMemSizeKib: if cc.enabled { size } else { 0 },
            unprotectedMemSizeKib: if cc.enabled { 0 } else { size },
        })
    }
    nvmlDeviceGetConfComputeProtectedMemoryUsage(device, into: *mut nvmlMemory_t) {
        let cc = device.scenario.conf_compute.ok_or(code::NOT_SUPPORTED)?;
        let traits = device.simulated().gpu.model.traits();
        supported(traits.cc && cc.enabled)?;
        let (total, used) = (traits.memory << 20, device.simulated().memory_used());
        put(into, nvmlMemory_t { total, free: total - used, used })
    }
}
