//! Who computes on the GPU, and how much of it.

use std::collections::BTreeSet;

use nvml_wrapper_sys::bindings::*;

use super::{
    super::raw::{Code, Process, Raw, Trouble},
    Device,
};

/// `NVML_VALUE_NOT_AVAILABLE`, as memory in use.
const NOT_AVAILABLE: u64 = u64::MAX;

/// The longest list that there is room for.
const MOST: u32 = 65_536;

/// A list that NVML writes into a buffer, which is made larger until it fits.
macro_rules! list {
    ($board:expr, $function:ident, $element:ty) => {{
        let mut count = 32;
        loop {
            // SAFETY: structures of integers.
            let mut list: Vec<$element> = vec![unsafe { std::mem::zeroed() }; count as usize];
            match nvml!(
                $board.nvml,
                $function($board.handle, &raw mut count, list.as_mut_ptr())
            ) {
                Ok(()) => {
                    list.truncate(count as usize);
                    break Ok(list);
                }
                // Some more: others start meanwhile.
                Err(Trouble {
                    code: Code::INSUFFICIENT_SIZE,
                    ..
                }) if count < MOST => {
                    count = count.max(16) * 2;
                }
                Err(error) => break Err(error),
            }
        }
    }};
}

impl Device {
    pub(super) fn processes(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        let compute = list!(
            self,
            nvmlDeviceGetComputeRunningProcesses_v3,
            nvmlProcessInfo_t
        )?;
        // Not on every device: what computes is what is asked for.
        let graphics = list!(
            self,
            nvmlDeviceGetGraphicsRunningProcesses_v3,
            nvmlProcessInfo_t
        )
        .unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut processes: Vec<Process> = Vec::new();
        for told in compute.into_iter().chain(graphics) {
            // One that computes and draws is in both lists with the same memory; one on several MIG instances has
            // memory in each.
            if !seen.insert((told.pid, told.gpuInstanceId, told.computeInstanceId)) {
                continue;
            }
            let memory = Some(told.usedGpuMemory).filter(|bytes| *bytes != NOT_AVAILABLE);
            match processes.iter_mut().find(|process| process.pid == told.pid) {
                Some(known) => {
                    known.memory = match (known.memory, memory) {
                        (Some(one), Some(other)) => Some(one.saturating_add(other)),
                        (one, other) => one.or(other),
                    };
                }
                None => processes.push(Process {
                    pid: told.pid,
                    memory,
                    sm: None,
                }),
            }
        }
        match self.utilization() {
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
        raw.processes = Some(processes);
        Ok(())
    }

    /// The newest sample of each process since the last look: pid and percent of the SMs.
    fn utilization(&mut self) -> Result<Vec<(u32, u32)>, Trouble> {
        let seen = self.processes_seen;
        let mut count = 0;
        let ask = nvml!(
            self.nvml,
            nvmlDeviceGetProcessUtilization(
                self.handle,
                std::ptr::null_mut(),
                &raw mut count,
                seen
            )
        );
        match ask {
            // Not found: nobody has used it since.
            Ok(())
            | Err(Trouble {
                code: Code::NOT_FOUND,
                ..
            }) => return Ok(Vec::new()),
            Err(Trouble {
                code: Code::INSUFFICIENT_SIZE,
                ..
            }) => {}
            Err(error) => return Err(error),
        }
        // Whatever the library says: memory is not its to take.
        count = count.min(MOST);
        // SAFETY: structures of integers.
        let mut samples: Vec<nvmlProcessUtilizationSample_t> =
            vec![unsafe { std::mem::zeroed() }; count as usize];
        let told = nvml!(
            self.nvml,
            nvmlDeviceGetProcessUtilization(
                self.handle,
                samples.as_mut_ptr(),
                &raw mut count,
                seen
            )
        );
        match told {
            Ok(()) => samples.truncate(count as usize),
            Err(Trouble {
                code: Code::NOT_FOUND,
                ..
            }) => samples.clear(),
            Err(error) => return Err(error),
        }
        samples.sort_by_key(|sample| sample.timeStamp);
        self.processes_seen = samples.last().map_or(seen, |sample| sample.timeStamp);
        Ok(samples
            .iter()
            .map(|sample| (sample.pid, sample.smUtil))
            .collect())
    }
}
