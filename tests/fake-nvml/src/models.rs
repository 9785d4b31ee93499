//! The models, with rounded values from their data sheets.

use serde::{Deserialize, Serialize};

/// A GPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Ampere: MIG, NVLink.
    A100,
    /// Hopper: GPM, confidential computing.
    H100,
    /// Hopper with more memory.
    H200,
    /// Blackwell: other NVLink counters.
    B200,
    /// Ada: no NVLink, no MIG.
    L40s,
    /// Turing.
    T4,
}

/// The properties of a model.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// `nvmlDeviceGetName`.
    pub name: &'static str,
    /// Memory, in MiB.
    pub memory: u64,
    /// Memory that the driver reserves, in MiB.
    pub reserved: u64,
    /// BAR1 memory, in MiB.
    pub bar1: u64,
    /// Idle power, in watts.
    pub idle: u32,
    /// Power limit, in watts.
    pub power: u32,
    /// Clocks of SM, memory and video, in MHz.
    pub clocks: [u32; 3],
    /// PCIe generation.
    pub pcie: u32,
    /// The number of NVLinks.
    pub links: u32,
    /// A temperature sensor for memory.
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
    /// Row remapping; earlier models retire pages.
    pub remaps: bool,
    /// Temperature limits as margins.
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

    /// The name in a scenario.
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

    /// The properties.
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
