//! What each model is and has. Figures are of the data sheets, rounded.

use serde::{Deserialize, Serialize};

/// A model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Ampere, with MIG and NVLink.
    A100,
    /// Hopper: GPM, confidential computing.
    H100,
    /// Hopper with more memory.
    H200,
    /// Blackwell, with other NVLink counters.
    B200,
    /// Ada, without NVLink and MIG.
    L40s,
    /// Turing.
    T4,
}

/// What a model has.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// `nvmlDeviceGetName`.
    pub name: &'static str,
    /// MiB.
    pub memory: u64,
    /// MiB that the driver keeps.
    pub reserved: u64,
    /// MiB.
    pub bar1: u64,
    /// Watts when idle.
    pub idle: u32,
    /// Watts at most.
    pub power: u32,
    /// MHz: SM, memory, video.
    pub clocks: [u32; 3],
    /// PCIe generation.
    pub pcie: u32,
    /// NVLinks.
    pub links: u32,
    /// Memory has a temperature of its own.
    pub memory_temperature: bool,
    /// GPU performance monitoring.
    pub gpm: bool,
    /// MIG.
    pub mig: bool,
    /// Confidential computing.
    pub cc: bool,
    /// Video encoder.
    pub encoder: bool,
    /// JPEG decoder and optical flow accelerator.
    pub jpeg: bool,
    /// Rows are remapped; before, pages were retired.
    pub remaps: bool,
    /// Temperature limits are stated as margins.
    pub margins: bool,
    /// Fields that came with Hopper: scoped NVLink errors, PCIe bytes, recovery action.
    pub hopper: bool,
    /// Fields that came with Blackwell.
    pub blackwell: bool,
}

const H100: Traits = Traits {
    name: "NVIDIA H100 80GB HBM3",
    memory: 81_559,
    reserved: 551,
    bar1: 131_072,
    idle: 70,
    power: 700,
    clocks: [1980, 2619, 1545],
    pcie: 5,
    links: 18,
    memory_temperature: true,
    gpm: true,
    mig: true,
    cc: true,
    encoder: false,
    jpeg: true,
    remaps: true,
    margins: true,
    hopper: true,
    blackwell: false,
};

const A100: Traits = Traits {
    name: "NVIDIA A100-SXM4-80GB",
    memory: 81_920,
    reserved: 667,
    idle: 60,
    power: 400,
    clocks: [1410, 1593, 1275],
    pcie: 4,
    links: 12,
    gpm: false,
    cc: false,
    margins: false,
    hopper: false,
    ..H100
};

impl Model {
    /// Every model.
    pub const ALL: [Self; 6] = [
        Self::A100,
        Self::H100,
        Self::H200,
        Self::B200,
        Self::L40s,
        Self::T4,
    ];

    /// As it is written in a scenario.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A100 => "a100",
            Self::H100 => "h100",
            Self::H200 => "h200",
            Self::B200 => "b200",
            Self::L40s => "l40s",
            Self::T4 => "t4",
        }
    }

    /// What it has.
    pub const fn traits(self) -> Traits {
        match self {
            Self::A100 => A100,
            Self::H100 => H100,
            Self::H200 => Traits {
                name: "NVIDIA H200",
                memory: 143_771,
                bar1: 262_144,
                clocks: [1980, 3201, 1545],
                ..H100
            },
            Self::B200 => Traits {
                name: "NVIDIA B200",
                memory: 183_359,
                bar1: 262_144,
                idle: 140,
                power: 1000,
                clocks: [1965, 3996, 1590],
                blackwell: true,
                ..H100
            },
            Self::L40s => Traits {
                name: "NVIDIA L40S",
                memory: 46_068,
                bar1: 65_536,
                idle: 35,
                power: 350,
                clocks: [2520, 9001, 1965],
                links: 0,
                memory_temperature: false,
                mig: false,
                encoder: true,
                ..A100
            },
            Self::T4 => Traits {
                name: "Tesla T4",
                memory: 15_360,
                reserved: 374,
                bar1: 256,
                idle: 10,
                power: 70,
                clocks: [1590, 5001, 1470],
                pcie: 3,
                links: 0,
                memory_temperature: false,
                mig: false,
                encoder: true,
                jpeg: false,
                remaps: false,
                ..A100
            },
        }
    }
}
