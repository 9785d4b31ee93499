//! The loaded library.

use std::{
    ffi::{OsStr, c_char},
    ptr::null_mut,
    sync::Arc,
};

use nvml_wrapper::{Nvml, error::NvmlError as WrapperError};
use nvml_wrapper_sys::bindings::*;

use super::{conf_compute, device::NvmlDevice, ffi::Device};
use crate::{
    source::gpu::{
        api::{DeviceHandle, DeviceSelector, NvmlApi},
        error::{NvmlError, NvmlReturn},
        raw::{ConfCompute, Versions},
    },
    text::printable,
};

/// A library that is loaded and initialised. It is shut down once this and all its devices are dropped.
pub(in crate::source::gpu) struct NvmlLibrary {
    nvml: Arc<Nvml>,
    versions: Versions,
}

/// Loads and initialises a library.
///
/// # Errors
/// The return code and its meaning; for a missing file `LIBRARY_NOT_FOUND` and the loader's message.
pub(in crate::source::gpu) fn load(path: &OsStr) -> Result<NvmlLibrary, (NvmlReturn, String)> {
    let nvml = Nvml::builder()
        .lib_path(path)
        .init()
        .map_err(|error| match error {
            WrapperError::LibloadingError(error) => {
                (NvmlReturn::LIBRARY_NOT_FOUND, error.to_string())
            }
            WrapperError::FailedToLoadSymbol(error) => (NvmlReturn::FUNCTION_NOT_FOUND, error),
            error => {
                let code = code_of(&error);
                (code, code.meaning().to_owned())
            }
        })?;
    let cuda = nvml.sys_cuda_driver_version().ok();
    // SAFETY: the symbol is looked up as an opaque pointer, which is neither called nor read.
    let fake = unsafe {
        nvml.lib()
            .__library
            .get::<*const ()>(b"partymeter_fake_nvml_version\0")
    }
    .is_ok();
    let versions = Versions {
        driver: nvml.sys_driver_version().ok().map(printable),
        cuda: cuda.map(|cuda| format!("{}.{}", cuda / 1000, cuda % 1000 / 10)),
        fake,
    };
    Ok(NvmlLibrary {
        nvml: Arc::new(nvml),
        versions,
    })
}

/// The return code behind an error of the wrapper.
fn code_of(error: &WrapperError) -> NvmlReturn {
    NvmlReturn(match error {
        WrapperError::DriverNotLoaded => nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED,
        WrapperError::NoPermission => nvmlReturn_enum_NVML_ERROR_NO_PERMISSION,
        WrapperError::LibRmVersionMismatch => nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        WrapperError::LibraryNotFound => nvmlReturn_enum_NVML_ERROR_LIBRARY_NOT_FOUND,
        WrapperError::GpuLost => nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST,
        WrapperError::InUse => nvmlReturn_enum_NVML_ERROR_IN_USE,
        _ => nvmlReturn_enum_NVML_ERROR_UNKNOWN,
    })
}

impl NvmlApi for NvmlLibrary {
    fn versions(&self) -> &Versions {
        &self.versions
    }

    fn count(&self) -> Result<u32, NvmlError> {
        let mut count = 0;
        nvml!(self.nvml, nvmlDeviceGetCount_v2(&raw mut count))?;
        Ok(count)
    }

    fn open(&self, selector: &DeviceSelector) -> Result<Box<dyn DeviceHandle>, NvmlError> {
        let mut handle: nvmlDevice_t = null_mut();
        match selector {
            DeviceSelector::Index(index) => {
                nvml!(
                    self.nvml,
                    nvmlDeviceGetHandleByIndex_v2(*index, &raw mut handle)
                )?;
            }
            DeviceSelector::BusId(id) => {
                let id: Vec<c_char> = id.bytes().chain([0]).map(u8::cast_signed).collect();
                nvml!(
                    self.nvml,
                    nvmlDeviceGetHandleByPciBusId_v2(id.as_ptr(), &raw mut handle)
                )?;
            }
        }
        let nvml = Arc::clone(&self.nvml);
        Ok(Box::new(NvmlDevice::new(Device { nvml, handle })))
    }

    fn conf_compute(&self, failed: &mut dyn FnMut(NvmlError)) -> ConfCompute {
        conf_compute::read(&self.nvml, failed)
    }
}
