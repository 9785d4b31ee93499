//! NVML's functions. The names, arguments and layouts are those of NVML's header, by way of nvml-wrapper-sys.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures that are made up to fit"
)]

/// Defines functions of a device: the body has the device and gives a code.
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

/// Defines functions of the system: the body has the state and gives a code.
macro_rules! system {
    ($($function:ident($state:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $function($($argument: $type),*) -> nvmlReturn_t {
            let run = || -> Result<(), nvmlReturn_t> {
                #[allow(unused_mut, reason = "some change it")]
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
mod processes;
mod system;

use std::ffi::{c_char, c_uint};

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use crate::state::code;

fn outcome(result: Result<(), nvmlReturn_t>) -> nvmlReturn_t {
    result.err().unwrap_or(0)
}

/// Writes through a pointer that may be null.
fn put<T>(pointer: *mut T, value: T) -> Result<(), nvmlReturn_t> {
    if pointer.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and by NVML's interface valid for a write of that type.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Reads through a pointer that may be null.
fn read<T: Copy>(pointer: *const T) -> Result<T, nvmlReturn_t> {
    if pointer.is_null() {
        return Err(code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and by NVML's interface valid for a read of that type.
    Ok(unsafe { pointer.read() })
}

/// Writes a string and its end.
fn put_text(pointer: *mut c_char, length: c_uint, text: &str) -> Result<(), nvmlReturn_t> {
    if text.len() >= length as usize {
        return Err(code::INSUFFICIENT_SIZE);
    }
    for (at, byte) in text.bytes().chain([0]).enumerate() {
        put(pointer.wrapping_add(at), byte.cast_signed())?;
    }
    Ok(())
}

/// Writes a list as NVML does: the count that is there is what fits, the count that is left is what there is.
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

/// `Err` unless it is so: the model does not have it.
fn supported(it_is: bool) -> Result<(), nvmlReturn_t> {
    if it_is {
        Ok(())
    } else {
        Err(code::NOT_SUPPORTED)
    }
}
