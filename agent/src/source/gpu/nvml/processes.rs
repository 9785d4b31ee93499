//! The processes on a device, their memory and their SM utilization.

use std::{collections::BTreeSet, ptr::null_mut};

use nvml_wrapper_sys::bindings::*;

use super::ffi::Device;
use crate::source::gpu::{
    error::{NvmlError, NvmlReturn},
    raw::Process,
};

/// `NVML_VALUE_NOT_AVAILABLE`, as memory in use.
const NOT_AVAILABLE: u64 = u64::MAX;

/// The most entries that a list is read with, whatever the library asks for: it bounds memory.
const MAX_ENTRIES: u32 = 65_536;

/// A list that NVML writes into a buffer, which grows until the list fits.
macro_rules! list {
    ($device:expr, $function:ident, $element:ty) => {{
        let mut count = 32;
        loop {
            // SAFETY: a structure of integers, for which zero is valid.
            let mut list: Vec<$element> = vec![unsafe { std::mem::zeroed() }; count as usize];
            match nvml!(
                $device.nvml,
                $function($device.handle, &raw mut count, list.as_mut_ptr())
            ) {
                Ok(()) => {
                    list.truncate(count as usize);
                    break Ok(list);
                }
                // More room than NVML asks for: processes start meanwhile.
                Err(error)
                    if error.code == NvmlReturn::INSUFFICIENT_SIZE && count < MAX_ENTRIES =>
                {
                    count = count.max(16) * 2;
                }
                Err(error) => break Err(error),
            }
        }
    }};
}

/// Reads the processes of one device.
#[derive(Default)]
pub(super) struct ProcessReader {
    /// The time of the newest utilization sample read, in microseconds since 1970.
    newest_sample: u64,
}

impl ProcessReader {
    /// Reads every process that computes or draws on the device.
    pub(super) fn read(&mut self, device: &Device) -> Result<Vec<Process>, NvmlError> {
        let compute = list!(
            device,
            nvmlDeviceGetComputeRunningProcesses_v3,
            nvmlProcessInfo_t
        )?;
        // Some devices support only the list of compute processes, which is the one that matters.
        let graphics = list!(
            device,
            nvmlDeviceGetGraphicsRunningProcesses_v3,
            nvmlProcessInfo_t
        )
        .unwrap_or_default();
        let mut processes = merge(compute.into_iter().chain(graphics));
        match self.utilization(device) {
            Ok(samples) => {
                for (pid, percent) in samples {
                    if let Some(process) = processes.iter_mut().find(|process| process.pid == pid) {
                        process.sm = Some(percent);
                    }
                }
            }
            // With MIG, and on some virtual GPUs.
            Err(error) if error.code.is_unsupported() => {}
            Err(error) => return Err(error),
        }
        Ok(processes)
    }

    /// The newest sample of each process since the last call: pid and SM utilization in percent.
    fn utilization(&mut self, device: &Device) -> Result<Vec<(u32, u32)>, NvmlError> {
        let Device { nvml, handle } = device;
        let mut count = 0;
        let mut samples: Vec<nvmlProcessUtilizationSample_t> = Vec::new();
        let needed = nvml!(
            nvml,
            nvmlDeviceGetProcessUtilization(
                *handle,
                null_mut(),
                &raw mut count,
                self.newest_sample
            )
        );
        let result = match needed {
            Err(error) if error.code == NvmlReturn::INSUFFICIENT_SIZE => {
                count = count.min(MAX_ENTRIES);
                // SAFETY: a structure of integers, for which zero is valid.
                samples = vec![unsafe { std::mem::zeroed() }; count as usize];
                nvml!(
                    nvml,
                    nvmlDeviceGetProcessUtilization(
                        *handle,
                        samples.as_mut_ptr(),
                        &raw mut count,
                        self.newest_sample
                    )
                )
            }
            result => result,
        };
        match result {
            Ok(()) => samples.truncate(count as usize),
            // No process has used the GPU since.
            Err(error) if error.code == NvmlReturn::NOT_FOUND => samples.clear(),
            Err(error) => return Err(error),
        }
        samples.sort_by_key(|sample| sample.timeStamp);
        if let Some(newest) = samples.last() {
            self.newest_sample = newest.timeStamp;
        }
        Ok(samples
            .iter()
            .map(|sample| (sample.pid, sample.smUtil))
            .collect())
    }
}

/// One entry for each process. A process that computes and draws is in both lists with the same memory; one on several
/// MIG instances has memory in each.
fn merge(entries: impl Iterator<Item = nvmlProcessInfo_t>) -> Vec<Process> {
    let mut seen = BTreeSet::new();
    let mut processes: Vec<Process> = Vec::new();
    for entry in entries {
        if !seen.insert((entry.pid, entry.gpuInstanceId, entry.computeInstanceId)) {
            continue;
        }
        let memory = Some(entry.usedGpuMemory).filter(|bytes| *bytes != NOT_AVAILABLE);
        match processes
            .iter_mut()
            .find(|process| process.pid == entry.pid)
        {
            Some(known) => {
                known.memory = match (known.memory, memory) {
                    (Some(one), Some(other)) => Some(one.saturating_add(other)),
                    (one, other) => one.or(other),
                };
            }
            None => processes.push(Process {
                pid: entry.pid,
                memory,
                sm: None,
            }),
        }
    }
    processes
}
