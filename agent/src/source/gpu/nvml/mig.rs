//! MIG: finds a device's instances and reads them.

use std::{ptr::null_mut, sync::Arc};

use nvml_wrapper_sys::bindings::*;

use super::{
    ffi::{Device, read_string},
    gpm::Gpm,
    memory,
};
use crate::source::gpu::{error::NvmlError, raw::Instance};

/// The most instances that are looked for, whatever number the library reports.
const MAX_INSTANCES: u32 = 64;

/// The MIG instances of a device.
#[derive(Default)]
pub(super) struct MigInstances(Vec<FoundInstance>);

struct FoundInstance {
    device: Device,
    instance: Instance,
    gpm: Gpm,
    /// GPM turned out to be unsupported; tried again when instances are next looked for.
    lacks_gpm: bool,
}

impl MigInstances {
    /// Looks for instances. Those that were known keep their GPM samples.
    pub(super) fn find(&mut self, device: &Device) -> Result<(), NvmlError> {
        let (mut mode, mut pending) = (0, 0);
        nvml!(
            device.nvml,
            nvmlDeviceGetMigMode(device.handle, &raw mut mode, &raw mut pending)
        )?;
        let mut before = std::mem::take(&mut self.0);
        if mode != NVML_DEVICE_MIG_ENABLE {
            return Ok(());
        }
        let count: u32 = get!(device, nvmlDeviceGetMaxMigDeviceCount)?;
        for index in 0..count.min(MAX_INSTANCES) {
            let mut handle: nvmlDevice_t = null_mut();
            // The indices may have gaps.
            if nvml!(
                device.nvml,
                nvmlDeviceGetMigDeviceHandleByIndex(device.handle, index, &raw mut handle)
            )
            .is_err()
            {
                continue;
            }
            let nvml = Arc::clone(&device.nvml);
            let device = Device { nvml, handle };
            let instance = identify(&device)?;
            let known = before
                .iter()
                .position(|known| known.instance.uuid == instance.uuid);
            let gpm = known.map(|known| before.swap_remove(known).gpm);
            self.0.push(FoundInstance {
                device,
                instance,
                gpm: gpm.unwrap_or_default(),
                lacks_gpm: false,
            });
        }
        self.0
            .sort_by_key(|it| (it.instance.gpu_instance, it.instance.compute_instance));
        Ok(())
    }

    /// Reads memory and activity of each GPU instance, by way of its first compute instance.
    pub(super) fn read(&mut self, device: &Device) -> Result<(), NvmlError> {
        let mut last = None;
        for found in &mut self.0 {
            let id = found.instance.gpu_instance;
            if last.replace(id) == Some(id) {
                continue;
            }
            found.instance.memory = match memory::read(&found.device) {
                Ok(memory) => Some(memory),
                Err(error) if error.code.is_unsupported() => None,
                Err(error) => return Err(error),
            };
            if found.lacks_gpm {
                continue;
            }
            found.instance.gpm = match found.gpm.read(device, Some(id)) {
                Ok(gpm) => gpm,
                Err(error) if error.code.is_unsupported() => {
                    found.lacks_gpm = true;
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// The instances as last read.
    pub(super) fn instances(&self) -> Vec<Instance> {
        self.0.iter().map(|found| found.instance.clone()).collect()
    }
}

fn identify(device: &Device) -> Result<Instance, NvmlError> {
    let Device { nvml, handle } = device;
    // The name ends with the profile: "NVIDIA H100 80GB HBM3 MIG 1g.10gb".
    let name = read_string(|into, length| nvml!(nvml, nvmlDeviceGetName(*handle, into, length)))?;
    Ok(Instance {
        gpu_instance: get!(device, nvmlDeviceGetGpuInstanceId)?,
        compute_instance: get!(device, nvmlDeviceGetComputeInstanceId)?,
        uuid: read_string(|into, length| nvml!(nvml, nvmlDeviceGetUUID(*handle, into, length)))?,
        profile: match name.rsplit_once("MIG ") {
            Some((_, profile)) => profile.to_owned(),
            None => name,
        },
        ..Instance::default()
    })
}
