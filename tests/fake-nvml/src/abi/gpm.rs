//! GPU performance monitoring: a sample is a time and the integral of the load until then.

#![cfg(not(feature = "old-driver"))]

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::*;

use super::{outcome, put, read, supported};
use crate::{code, state::system as state_system, values::gpm_share};

/// What an `nvmlGpmSample_t` points to.
#[derive(Clone, Copy, Default)]
struct Sample {
    time: f64,
    busy: f64,
    load: f64,
}

device! {
    nvmlGpmQueryDeviceSupport(device, support: *mut nvmlGpmSupport_t) {
        let version = read(support)?.version;
        if version != 1 {
            return Err(code::VERSION_MISMATCH);
        }
        put(support, nvmlGpmSupport_t { version, isSupportedDevice: device.simulated().gpu.model.traits().gpm.into() })
    }
    nvmlGpmSampleGet(device, sample: nvmlGpmSample_t) {
        supported(device.simulated().gpu.model.traits().gpm)?;
        put(sample.cast(), Sample { time: device.time, busy: device.simulated().busy(), load: device.simulated().load() })
    }
    nvmlGpmMigSampleGet(device, gpu_instance: c_uint, sample: nvmlGpmSample_t) {
        let gpu = device.simulated().gpu;
        supported(gpu.model.traits().gpm)?;
        if !gpu.mig.iter().any(|instance| instance.gpu_instance == gpu_instance) {
            return Err(code::NOT_FOUND);
        }
        put(sample.cast(), Sample { time: device.time, busy: device.simulated().busy() / 2.0, load: device.simulated().load() / 2.0 })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) -> nvmlReturn_t {
    outcome(
        state_system("nvmlGpmSampleAlloc")
            .and_then(|_| put(sample, Box::into_raw(Box::new(Sample::default())).cast())),
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> nvmlReturn_t {
    if sample.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: NVML's callers free a sample of `nvmlGpmSampleAlloc` once.
    drop(unsafe { Box::from_raw(sample.cast::<Sample>()) });
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    let run = || {
        drop(state_system("nvmlGpmMetricsGet")?);
        if request.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and NVML's callers pass a valid structure that they do not use during the call.
        let request = unsafe { &mut *request };
        if request.version != NVML_GPM_METRICS_GET_VERSION {
            return Err(code::VERSION_MISMATCH);
        }
        let (before, after): (Sample, Sample) = (
            read(request.sample1.cast_const().cast())?,
            read(request.sample2.cast_const().cast())?,
        );
        let share = if after.time > before.time {
            (after.busy - before.busy) / (after.time - before.time)
        } else {
            // The scenario stops the clock.
            after.load
        };
        for metric in request.metrics.iter_mut().take(request.numMetrics as usize) {
            match gpm_share(metric.metricId) {
                Some(percent) => (metric.nvmlReturn, metric.value) = (0, share * percent),
                None => metric.nvmlReturn = code::NOT_SUPPORTED,
            }
        }
        Ok(())
    };
    outcome(run())
}
