//! The GPU source. A thread for each GPU reads it and waits for nobody; one more, the fleet, loads the library,
//! finds GPUs, and starts the library anew when some are lost.
//!
//! `raw.rs` is the seam: `nvml/` is behind it, `decode.rs` turns its numbers into ours, `plausible.rs` takes out what
//! cannot be, `open.rs` decides what to ask for and when, and `device.rs` when to open a device and to let it go.
//! `shared.rs` holds what the threads share, `own.rs` what all know of one GPU.

mod counters;
mod decode;
mod device;
#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "the names of NVML's header")
)]
mod fields;
mod fleet;
mod library;
#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "the names of NVML's header")
)]
mod nvml;
mod open;
mod own;
mod plausible;
pub mod process;
mod raw;
mod shared;

pub use fleet::{GpuPlaces, probe, spawn};
