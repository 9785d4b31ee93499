//! A fake NVML: a shared library with NVML's interface and layouts, whose GPUs a scenario describes. For tests and
//! demonstrations only; the agent logs a warning when it loads one.
//!
//! `scenario` describes what can be simulated, and `models` what each model supports. `values` computes what a GPU reads
//! at a time, as pure functions that tests call too. `state` is the state of the loaded library, `abi` NVML's functions.

mod abi;
mod call_counter;
mod code;
pub mod models;
pub mod scenario;
mod scenario_file;
mod state;
pub mod values;

pub use scenario::{Answer, FieldAnswer, Gpu, Rule, Scenario};

/// The variable that names the scenario: a file, or GPUs as `h100x8` or `a100x2,l40sx1`.
pub const SCENARIO: &str = "PARTYMETER_FAKE_NVML";

/// The variable that names a file for the counts of calls: lines with a function's name and a number, written about twice a
/// second. A library that is loaded again continues the counts.
pub const CALLS: &str = "PARTYMETER_FAKE_NVML_CALLS";
