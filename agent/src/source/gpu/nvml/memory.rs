//! Framebuffer memory of a device or a MIG instance.

use nvml_wrapper_sys::bindings::*;

use super::ffi::{Device, struct_version};
use crate::source::gpu::{error::NvmlError, raw::Memory};

/// Reads memory by `nvmlDeviceGetMemoryInfo_v2`, or by the first version, which counts reserved memory as used, where the
/// second does not work: before driver 510 and on some virtual GPUs.
pub(super) fn read(device: &Device) -> Result<Memory, NvmlError> {
    let mut info = nvmlMemory_v2_t {
        version: struct_version::<nvmlMemory_v2_t>(2),
        total: 0,
        reserved: 0,
        free: 0,
        used: 0,
    };
    match nvml!(
        device.nvml,
        nvmlDeviceGetMemoryInfo_v2(device.handle, &raw mut info)
    ) {
        Ok(()) => {
            return Ok(Memory {
                total: info.total,
                reserved: Some(info.reserved),
                free: info.free,
                used: info.used,
            });
        }
        Err(error) if error.code.is_unsupported() => {}
        Err(error) => return Err(error),
    }
    let info: nvmlMemory_t = get!(device, nvmlDeviceGetMemoryInfo)?;
    Ok(Memory {
        total: info.total,
        reserved: None,
        free: info.free,
        used: info.used,
    })
}
