//! NVML without GPUs: a shared library with NVML's interface and layouts, whose answers a scenario makes up. For
//! tests and demonstrations only; the agent says loudly that it reads one of these.
//!
//! `scenario` is what can be asked for and `models` what each model has; `values` says what a GPU reads at a time, as
//! pure functions that tests call, too; `state` is what the loaded library remembers; `abi` are NVML's functions.

mod abi;
pub mod models;
pub mod scenario;
mod state;
pub mod values;

pub use scenario::{Answer, Figure, Gpu, Rule, Scenario};

/// The variable that names the scenario: a file, or GPUs as `h100x8` or `a100x2,l40sx1`.
pub const SCENARIO: &str = "PARTYMETER_FAKE_NVML";

/// The variable that names a file into which the library writes, about twice a second, how often each function has
/// been called: lines of a name and a number. Loaded anew, it goes on with them.
pub const CALLS: &str = "PARTYMETER_FAKE_NVML_CALLS";
