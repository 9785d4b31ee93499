//! The machine's state of confidential computing.

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::*;

use super::ffi::struct_version;
use crate::source::gpu::{error::NvmlError, raw::ConfCompute};

/// Reads the state; passes each failed call to `failed`.
pub(super) fn read(nvml: &Nvml, failed: &mut dyn FnMut(NvmlError)) -> ConfCompute {
    let mut state = ConfCompute::default();
    // SAFETY: a structure of integers, for which zero is valid.
    let mut settings: nvmlSystemConfComputeSettings_t = unsafe { std::mem::zeroed() };
    settings.version = struct_version::<nvmlSystemConfComputeSettings_t>(1);
    match nvml!(nvml, nvmlSystemGetConfComputeSettings(&raw mut settings)) {
        Ok(()) => {
            state.enabled = Some(settings.ccFeature == NVML_CC_SYSTEM_FEATURE_ENABLED);
            state.environment = Some(settings.environment);
            state.devtools = Some(settings.devToolsMode == NVML_CC_SYSTEM_DEVTOOLS_MODE_ON);
            state.multi_gpu = Some(settings.multiGpuMode);
        }
        Err(error) => {
            failed(error);
            // Drivers before CUDA 12.4 have this call, which does not state protected PCIe.
            // SAFETY: a structure of integers, for which zero is valid.
            let mut older: nvmlConfComputeSystemState_t = unsafe { std::mem::zeroed() };
            match nvml!(nvml, nvmlSystemGetConfComputeState(&raw mut older)) {
                Ok(()) => {
                    state.enabled = Some(older.ccFeature == NVML_CC_SYSTEM_FEATURE_ENABLED);
                    state.environment = Some(older.environment);
                    state.devtools = Some(older.devToolsMode == NVML_CC_SYSTEM_DEVTOOLS_MODE_ON);
                }
                Err(error) => failed(error),
            }
        }
    }
    let mut ready = 0;
    match nvml!(nvml, nvmlSystemGetConfComputeGpusReadyState(&raw mut ready)) {
        Ok(()) => state.ready = Some(ready == NVML_CC_ACCEPTING_CLIENT_REQUESTS_TRUE),
        Err(error) => failed(error),
    }
    state
}
