//! The codes of `nvmlReturn_t` that the library returns by itself.

use nvml_wrapper_sys::bindings::nvmlReturn_t;

pub const UNINITIALIZED: nvmlReturn_t = 1;
pub const INVALID_ARGUMENT: nvmlReturn_t = 2;
pub const NOT_SUPPORTED: nvmlReturn_t = 3;
pub const NOT_FOUND: nvmlReturn_t = 6;
pub const INSUFFICIENT_SIZE: nvmlReturn_t = 7;
pub const DRIVER_NOT_LOADED: nvmlReturn_t = 9;
pub const TIMEOUT: nvmlReturn_t = 10;
pub const GPU_IS_LOST: nvmlReturn_t = 15;
#[cfg(not(feature = "old-driver"))]
pub const VERSION_MISMATCH: nvmlReturn_t = 25;
