//! The way every function of the library is called.

use std::{
    ffi::{CStr, c_char, c_uint},
    sync::Arc,
};

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::*;

use crate::{
    source::gpu::error::{NvmlError, NvmlReturn},
    text::printable,
};

/// Calls a function of the library; a function that the library lacks is an error of that call.
macro_rules! nvml {
    ($nvml:expr, $function:ident($($argument:expr),*)) => {{
        const CALL: &str = stringify!($function);
        match &$nvml.lib().$function {
            // SAFETY: the signature is that of NVML's header; every pointer is to a live value of the type that it
            // names, and every handle came from this library, which `$nvml` keeps initialised.
            Ok(function) => $crate::source::gpu::nvml::ffi::check(CALL, unsafe { function($($argument),*) }),
            Err(_) => $crate::source::gpu::nvml::ffi::missing(CALL),
        }
    }};
}

/// The value that a function of a device returns through its last argument.
macro_rules! get {
    ($device:expr, $function:ident $(, $argument:expr)*) => {{
        // SAFETY: every type that NVML returns this way consists of integers, for which zero is valid.
        let mut value = unsafe { std::mem::zeroed() };
        nvml!($device.nvml, $function($device.handle $(, $argument)*, &raw mut value)).map(|()| value)
    }};
}

/// The handle of a device, and the library that it came from.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) nvml: Arc<Nvml>,
    pub(super) handle: nvmlDevice_t,
}

/// The result of a call that returned this code.
pub(super) fn check(call: &'static str, code: nvmlReturn_t) -> Result<(), NvmlError> {
    match code {
        nvmlReturn_enum_NVML_SUCCESS => Ok(()),
        code => Err(NvmlError {
            call,
            code: NvmlReturn(code),
        }),
    }
}

/// The result of a call that the library lacks.
pub(super) const fn missing(call: &'static str) -> Result<(), NvmlError> {
    Err(NvmlError {
        call,
        code: NvmlReturn::FUNCTION_NOT_FOUND,
    })
}

/// `NVML_STRUCT_VERSION`.
pub(super) const fn struct_version<T>(version: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "less than a KiB")]
    let size = size_of::<T>() as u32;
    size | version << 24
}

/// Reads a string that a function writes into a buffer.
pub(super) fn read_string(
    read: impl FnOnce(*mut c_char, c_uint) -> Result<(), NvmlError>,
) -> Result<String, NvmlError> {
    // The longest buffer that NVML's header names.
    let mut buffer = [0; 96];
    read(buffer.as_mut_ptr(), 96)?;
    Ok(string(&buffer))
}

/// The printable string in a buffer, which ends at a NUL or with the buffer.
pub(super) fn string(buffer: &[c_char]) -> String {
    let bytes = buffer.iter().map(|byte| byte.cast_unsigned());
    let bytes: Vec<u8> = bytes.chain([0]).collect();
    match CStr::from_bytes_until_nul(&bytes).map(CStr::to_bytes) {
        Ok([]) | Err(_) => String::new(),
        Ok(text) => printable(text),
    }
}
