//! The metrics of the GPU source, with their names in dcgm-exporter.

#[macro_use]
mod series;
mod activity;
mod clocks;
mod confidential_computing;
mod dcgm;
mod errors;
mod info;
mod list;
mod memory;
mod metric;
mod mig;
mod nvlink;
mod nvml;
mod pcie;
mod pipes;
mod power;
mod processes;
mod ranges;
mod temperature;
mod utilization;

pub use dcgm::{EmitLabelled, Family, families};
pub use list::{metrics, range};
pub use metric::{Dcgm, GpuMetric, Scale};
