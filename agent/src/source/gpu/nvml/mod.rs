//! NVML behind the `api` interface: nothing outside this folder calls nvml-wrapper or its -sys crate. The wrapper loads,
//! initialises and shuts down the library. Values are read through the library's function pointers, because the wrapper's
//! own methods hide return codes, scopes and value types, and tie every handle to a lifetime.

#![expect(non_upper_case_globals, reason = "the constants of NVML's header")]

#[macro_use]
mod ffi;
mod calls;
mod conf_compute;
mod device;
mod events;
mod field_values;
mod gpm;
mod library;
mod memory;
mod mig;
mod processes;

pub(super) use library::load;
