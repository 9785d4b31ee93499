//! The values of a GPU: pure functions of the scenario, the position in it, and the time in seconds.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "simulated values, within the range of their type"
)]

use std::f64::consts::TAU;

use crate::scenario::{Gpu, Load, Scenario};

/// Seconds of one period of [`Load::Curve`].
const PERIOD: f64 = 60.0;

/// A GPU of a scenario at one time.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedGpu<'a> {
    /// The GPU's entry in the scenario.
    pub gpu: &'a Gpu,
    /// The position of the GPU in the scenario.
    pub position: usize,
    /// [`Scenario::seed`].
    pub seed: u64,
    /// Seconds since the driver was loaded.
    pub time: f64,
}

impl<'a> SimulatedGpu<'a> {
    /// The GPU at this position; `None` if there is none.
    pub fn new(scenario: &'a Scenario, position: usize, time: f64) -> Option<Self> {
        Some(Self {
            gpu: scenario.gpus.get(position)?,
            position,
            seed: scenario.seed,
            time,
        })
    }

    /// The load, 0 to 1.
    pub fn load(&self) -> f64 {
        match self.gpu.load {
            Load::Idle => 0.0,
            Load::Busy => 0.98,
            Load::Curve => 0.5 + 0.5 * (TAU * self.time / PERIOD + self.position as f64).sin(),
        }
    }

    /// The integral of the load until now, in seconds.
    pub fn busy(&self) -> f64 {
        match self.gpu.load {
            Load::Idle => 0.0,
            Load::Busy => 0.98 * self.time,
            Load::Curve => {
                let phase = self.position as f64;
                let swing = PERIOD / TAU * (phase.cos() - (TAU * self.time / PERIOD + phase).cos());
                0.5 * self.time + 0.5 * swing
            }
        }
    }

    /// GPU utilization, in percent.
    pub fn utilization(&self) -> u32 {
        (self.load() * 100.0).round() as u32
    }

    /// Memory controller utilization, in percent.
    pub fn memory_utilization(&self) -> u32 {
        (self.load() * 60.0).round() as u32
    }

    /// Allocated bytes: more under load, and different by seed and position.
    pub fn memory_used(&self) -> u64 {
        let traits = self.gpu.model.traits();
        let base = 400 + (self.seed * 7 + self.position as u64 * 13) % 100;
        let more = (self.load() * 0.8 * traits.memory as f64) as u64;
        (base + more).min(traits.memory - traits.reserved) << 20
    }

    /// Power draw, in milliwatts.
    pub fn power(&self) -> u32 {
        let traits = self.gpu.model.traits();
        traits.idle * 1000 + (f64::from(traits.power - traits.idle) * self.load() * 1000.0) as u32
    }

    /// Energy since the driver was loaded, in millijoules.
    pub fn energy(&self) -> u64 {
        let traits = self.gpu.model.traits();
        let joules = f64::from(traits.idle) * self.time
            + f64::from(traits.power - traits.idle) * self.busy();
        (joules * 1000.0) as u64
    }

    /// Core temperature, in degrees Celsius.
    pub fn temperature(&self) -> u32 {
        30 + self.position as u32 % 4 + (self.load() * 40.0) as u32
    }

    /// SM clock, in MHz.
    pub fn sm_clock(&self) -> u32 {
        let max = self.gpu.model.traits().clocks[0];
        if self.load() > 0.05 { max } else { 345 }
    }

    /// Bytes sent over PCIe: 8 GB/s when busy.
    pub fn pcie_transmit(&self) -> u64 {
        self.gpu.pcie_start + (self.busy() * 8e9) as u64
    }

    /// Bytes received over PCIe: 4 GB/s when busy.
    pub fn pcie_receive(&self) -> u64 {
        self.gpu.pcie_start + (self.busy() * 4e9) as u64
    }

    /// KiB sent over each NVLink: 20 GB/s when busy.
    pub fn link_transmit(&self, link: u32) -> u64 {
        (self.busy() * 2e10) as u64 / 1024 + u64::from(link)
    }

    /// KiB received over each NVLink.
    pub fn link_receive(&self, link: u32) -> u64 {
        (self.busy() * 1e10) as u64 / 1024 + u64::from(link)
    }

    /// Nanoseconds in which the power limit lowered the clocks: a tenth of the time under load.
    pub fn power_violation(&self) -> u64 {
        (self.busy() * 1e8) as u64
    }
}

/// The value of a GPM metric (`nvmlGpmMetricId_t`) under full load, in percent; `None` if it is not simulated.
pub const fn gpm_share(metric: u32) -> Option<f64> {
    match metric {
        1 => Some(100.0),
        2 => Some(90.0),
        3 => Some(45.0),
        4 => Some(20.0),
        5 => Some(60.0),
        6 => Some(0.0),
        7 => Some(55.0),
        9 => Some(5.0),
        10 => Some(50.0),
        11 => Some(1.0),
        12 => Some(12.0),
        13 => Some(8.0),
        _ => None,
    }
}

/// The supported reasons for lower clocks, the same for every model.
pub const REASONS: u64 = 0x1ff;

/// The UUID of a GPU.
pub fn uuid(seed: u64, position: usize) -> String {
    format!("GPU-{seed:08x}-0000-4000-8000-{position:012x}")
}

/// The UUID of a MIG instance.
pub fn mig_uuid(seed: u64, position: usize, instance: usize) -> String {
    format!("MIG-{seed:08x}-0000-4000-8{instance:03x}-{position:012x}")
}

/// The PCI bus id of a GPU.
pub fn bus_id(position: usize) -> String {
    format!("00000000:{:02X}:00.0", 5 + 13 * position)
}
