//! The GPU source. A thread for each GPU reads it and waits for no other; one more, the manager, loads NVML, finds GPUs,
//! and reloads NVML when a GPU is lost.
//!
//! From the bottom up, each file imports only from above it in this list:
//!
//! - `error`, `raw`, `status`: NVML's errors and answers; a GPU's shared state.
//! - `field`, `field_ids`, `fields`, `api`: what is read, and the interface to NVML.
//! - `nvml/`: NVML itself, and `library`, which finds it.
//! - `decode`, `counters`, `plausible`, `process`: from answers to samples.
//! - `session`, `call_state`, `open_device`, `gpu_source`: reading one GPU.
//! - `registry`, `manager`: all GPUs of the machine.

mod api;
mod call_state;
mod counters;
mod decode;
mod error;
mod field;
#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "the names of NVML's header")
)]
mod field_ids;
mod fields;
mod gpu_source;
mod library;
mod manager;
#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "the names of NVML's header")
)]
mod nvml;
mod open_device;
mod plausible;
mod process;
mod raw;
mod registry;
mod session;
mod status;

pub use library::probe;
pub use manager::spawn;
pub use registry::LatestGpus;
