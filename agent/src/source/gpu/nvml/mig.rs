//! MIG: which instances there are, and what each uses.

use std::{ptr::null_mut, sync::Arc};

use nvml_wrapper_sys::bindings::*;

use super::{
    super::raw::{Instance, Raw, Trouble},
    Device,
    gpm::Gpm,
    text,
};

/// Whatever a library says that there can be, so many instances are asked for at most.
const MOST: u32 = 64;

/// An instance that was found.
pub(super) struct Known {
    device: nvmlDevice_t,
    told: Instance,
    gpm: Gpm,
    /// What it was last told that it has not: asked again when instances are looked for.
    without_gpm: bool,
}

impl Device {
    /// Looks for instances. Those that are still there keep their samples.
    pub(super) fn find_instances(&mut self) -> Result<(), Trouble> {
        let (mut mode, mut pending) = (0, 0);
        nvml!(
            self.nvml,
            nvmlDeviceGetMigMode(self.handle, &raw mut mode, &raw mut pending)
        )?;
        let mut before = std::mem::take(&mut self.instances);
        if mode != NVML_DEVICE_MIG_ENABLE {
            return Ok(());
        }
        let most: u32 = get!(self, nvmlDeviceGetMaxMigDeviceCount)?;
        for index in 0..most.min(MOST) {
            let mut device: nvmlDevice_t = null_mut();
            // The indices may have gaps.
            if nvml!(
                self.nvml,
                nvmlDeviceGetMigDeviceHandleByIndex(self.handle, index, &raw mut device)
            )
            .is_err()
            {
                continue;
            }
            let told = self.instance(device)?;
            let same = before.iter().position(|known| known.told.uuid == told.uuid);
            let gpm = same
                .map(|at| before.swap_remove(at).gpm)
                .unwrap_or_default();
            self.instances.push(Known {
                device,
                told,
                gpm,
                without_gpm: false,
            });
        }
        self.instances
            .sort_by_key(|known| (known.told.gpu_instance, known.told.compute_instance));
        Ok(())
    }

    fn instance(&self, device: nvmlDevice_t) -> Result<Instance, Trouble> {
        let mut instance = Instance::default();
        nvml!(
            self.nvml,
            nvmlDeviceGetGpuInstanceId(device, &raw mut instance.gpu_instance)
        )?;
        nvml!(
            self.nvml,
            nvmlDeviceGetComputeInstanceId(device, &raw mut instance.compute_instance)
        )?;
        instance.uuid =
            text(|into, length| nvml!(self.nvml, nvmlDeviceGetUUID(device, into, length)))?;
        // The name ends with the profile: "NVIDIA H100 80GB HBM3 MIG 1g.10gb".
        let name = text(|into, length| nvml!(self.nvml, nvmlDeviceGetName(device, into, length)))?;
        instance.profile = match name.rsplit_once("MIG ") {
            Some((_, profile)) => profile.to_owned(),
            None => name,
        };
        Ok(instance)
    }

    /// What each instance uses now. Memory and activity are those of the GPU instance: its first compute instance
    /// is asked for them.
    pub(super) fn instances(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        let mut instances = std::mem::take(&mut self.instances);
        let outcome = self.read_instances(&mut instances);
        raw.instances = Some(instances.iter().map(|known| known.told.clone()).collect());
        self.instances = instances;
        outcome
    }

    fn read_instances(&self, instances: &mut [Known]) -> Result<(), Trouble> {
        let mut last = None;
        for known in instances {
            let id = known.told.gpu_instance;
            if last.replace(id) == Some(id) {
                continue;
            }
            known.told.memory = match self.memory_of(known.device) {
                Ok(memory) => Some(memory),
                Err(error) if error.code.is_unsupported() => None,
                Err(error) => return Err(error),
            };
            if known.without_gpm {
                continue;
            }
            known.told.gpm = match known
                .gpm
                .round(&Arc::clone(&self.nvml), self.handle, Some(id))
            {
                Ok(told) => told,
                Err(error) if error.code.is_unsupported() => {
                    known.without_gpm = true;
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}
