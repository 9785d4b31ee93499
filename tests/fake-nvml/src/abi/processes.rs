//! The processes on a GPU.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::*;

use super::{put_list, supported};
use crate::code;

device! {
    nvmlDeviceGetComputeRunningProcesses_v3(device, count: *mut c_uint, into: *mut nvmlProcessInfo_t) {
        let list = device.simulated().gpu.processes.iter().map(|process| nvmlProcessInfo_t {
            pid: process.pid,
            usedGpuMemory: process.memory.unwrap_or(u64::MAX),
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        });
        put_list(count, into, list.collect())
    }
    nvmlDeviceGetGraphicsRunningProcesses_v3(device, count: *mut c_uint, into: *mut nvmlProcessInfo_t) {
        supported(device.instance.is_none())?;
        put_list(count, into, Vec::new())
    }
    nvmlDeviceGetProcessUtilization(
        device,
        into: *mut nvmlProcessUtilizationSample_t,
        count: *mut c_uint,
        seen: c_ulonglong
    ) {
        supported(device.simulated().gpu.mig.is_empty())?;
        let now = (device.time * 1e6) as u64;
        let samples: Vec<_> = device.simulated().gpu.processes.iter().filter_map(|process| {
            Some(nvmlProcessUtilizationSample_t {
                pid: process.pid,
                timeStamp: now,
                smUtil: process.sm?,
                memUtil: 1,
                encUtil: 0,
                decUtil: 0,
            })
        }).collect();
        if samples.is_empty() || now <= seen {
            return Err(code::NOT_FOUND);
        }
        put_list(count, into, samples)
    }
}
