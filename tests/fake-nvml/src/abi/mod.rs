//! NVML's functions, with the names, arguments and layouts of NVML's header (from nvml-wrapper-sys).

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulated values, within the range of their type"
)]

/// Defines functions of a device. The body has the device and returns a code.
macro_rules! device {
    ($($function:ident($device:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function(handle: nvmlDevice_t $(, $argument: $type)*) -> nvmlReturn_t {
            let run = || -> Result<(), nvmlReturn_t> {
                let $device = crate::state::device(stringify!($function), handle)?;
                $body
            };
            crate::abi::outcome(run())
        }
    )*};
}

/// Defines functions of the system. The body has the state and returns a code.
macro_rules! system {
    ($($function:ident($state:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function($($argument: $type),*) -> nvmlReturn_t {
            let run = || -> Result<(), nvmlReturn_t> {
                #[allow(unused_mut, reason = "some bodies change it")]
                let mut $state = crate::state::system(stringify!($function))?;
                $body
            };
            crate::abi::outcome(run())
        }
    )*};
}

mod device;
mod events;
mod fields;
mod gpm;
mod mig;
mod processes;
mod system;

use std::ffi::{c_char, c_uint};

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use crate::code;

fn outcome(result: Result<(), nvmlReturn_t>) -> nvmlReturn_t {
    result.err().unwrap_or(0)
}

/// Writes through a pointer that may be null.
fn put<T>(pointer: *mut T, value: T) -> Result<(), nvmlReturn_t> {
    if pointer.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and NVML's callers pass pointers that are valid for a write of this type.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Reads through a pointer that may be null.
fn read<T: Copy>(pointer: *const T) -> Result<T, nvmlReturn_t> {
    if pointer.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and NVML's callers pass pointers that are valid for a read of this type.
    Ok(unsafe { pointer.read() })
}

/// Writes a string and its NUL.
fn put_text(pointer: *mut c_char, length: c_uint, text: &str) -> Result<(), nvmlReturn_t> {
    if text.len() >= length as usize {
        return Err(code::INSUFFICIENT_SIZE);
    }
    for (at, byte) in text.bytes().chain([0]).enumerate() {
        put(pointer.wrapping_add(at), byte.cast_signed())?;
    }
    Ok(())
}

/// Writes a list as NVML does: `count` is how many elements fit, and becomes how many there are.
fn put_list<T>(count: *mut c_uint, into: *mut T, list: Vec<T>) -> Result<(), nvmlReturn_t> {
    let fits = read(count)? as usize;
    put(count, list.len() as c_uint)?;
    if list.len() > fits {
        return Err(code::INSUFFICIENT_SIZE);
    }
    for (at, element) in list.into_iter().enumerate() {
        put(into.wrapping_add(at), element)?;
    }
    Ok(())
}

/// Fails with `NOT_SUPPORTED` if the model lacks the feature.
fn supported(is_supported: bool) -> Result<(), nvmlReturn_t> {
    if is_supported {
        Ok(())
    } else {
        Err(code::NOT_SUPPORTED)
    }
}
