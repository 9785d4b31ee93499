//! What was read of the GPUs, in base units. An absent value is one that the device, its driver or its mode
//! does not have.

use std::sync::Arc;

use super::{FailureKind, SourceHealth};

/// Everything about the GPUs at one moment.
#[derive(Clone, Debug)]
pub struct Gpus {
    /// What belongs to the driver and the machine; `None` while there is no driver.
    pub system: Option<Arc<System>>,
    /// Every GPU that was ever seen, in the order of `id`.
    pub gpus: Vec<Gpu>,
    /// Calls of NVML that failed, by call and code, since the agent started.
    pub errors: Vec<(&'static str, &'static str, u64)>,
    /// Whether the page also has the names of dcgm-exporter.
    pub dcgm_names: bool,
}

/// The driver, and what holds for all GPUs of the machine.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// GPUs that the driver has now.
    pub count: u32,
    /// Whether the library is the one that makes GPUs up for tests.
    pub fake: bool,
    /// Confidential computing is switched on.
    pub cc_enabled: Option<bool>,
    /// The GPUs accept work, as software says after attestation.
    pub cc_ready: Option<bool>,
    /// Developer tools are allowed, and nothing is protected.
    pub cc_devtools: Option<bool>,
    /// Several GPUs are protected together over PCIe.
    pub cc_protected_pcie: Option<bool>,
    /// `production`, `simulation` or `unavailable`.
    pub cc_environment: Option<&'static str>,
}

/// One GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// Its NVML index when it was first seen; it stays the same while the agent runs.
    pub id: Arc<str>,
    /// Who it is, since it was open for the first time.
    pub facts: Option<Arc<Facts>>,
    /// What it read; `None` while it is down, and after a pause of the agent until it is read again.
    pub reading: Option<Arc<Reading>>,
    /// Why it is down.
    pub down: Option<FailureKind>,
    /// XID errors since the agent started; known also of a GPU that is down.
    pub xids: Vec<Xid>,
}

impl Gpu {
    /// Puts together what its place and its book say.
    pub fn new(
        id: Arc<str>,
        facts: Option<Arc<Facts>>,
        reading: Option<Arc<Reading>>,
        health: &SourceHealth,
        xids: Vec<Xid>,
    ) -> Self {
        Self {
            id,
            facts,
            reading,
            down: health.kind,
            xids,
        }
    }
}

/// XID errors of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Xid {
    /// The number, as in the kernel's log.
    pub xid: u64,
    /// How many.
    pub count: u64,
    /// When the last was read, in seconds since 1970; within one interval of when it happened.
    pub last: f64,
}

/// What does not change while the GPU is open.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// As `GPU-…`.
    pub uuid: String,
    /// The product's name.
    pub model: String,
    /// As `00000000:17:00.0`.
    pub pci_bus_id: String,
    /// Version of the video BIOS; empty where it has none.
    pub vbios: String,
    /// As `nvidia0`; empty where it has none.
    pub device: String,
    /// Version of the driver.
    pub driver_version: String,
    /// Highest CUDA version that the driver offers.
    pub cuda_version: String,
}

/// The figures that can be. What a library says beyond them is an error of its, and no figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least of them.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Range {
    /// Whether it can be; what is no number cannot.
    pub fn contains(&self, value: f64) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

/// A named value.
pub type Named<T> = (&'static str, T);

/// One round of one GPU.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Who it is.
    pub facts: Arc<Facts>,
    /// Percent of the last sampling period in which a kernel ran.
    pub utilization: Option<u64>,
    /// Percent, by engine: `encoder`, `decoder`, `jpeg`, `ofa`.
    pub encoder: Option<u64>,
    /// Percent.
    pub decoder: Option<u64>,
    /// Percent.
    pub jpeg: Option<u64>,
    /// Percent.
    pub ofa: Option<u64>,
    /// Percent of the time in which memory was read or written.
    pub memory_controller: Option<u64>,
    /// Memory, in bytes.
    pub memory: Option<Memory>,
    /// BAR1 in use, in bytes.
    pub bar1_used: Option<u64>,
    /// All of BAR1, in bytes.
    pub bar1_total: Option<u64>,
    /// Watts.
    pub power: Option<f64>,
    /// Watts.
    pub power_limit: Option<f64>,
    /// Joules since the driver was loaded.
    pub energy: Option<f64>,
    /// Degrees Celsius, by sensor.
    pub temperatures: Vec<Named<f64>>,
    /// Degrees Celsius, by what happens there.
    pub temperature_limits: Vec<Named<f64>>,
    /// Degrees Celsius, as the distance from the point at which clocks are lowered, by what happens there.
    pub temperature_margins: Vec<Named<f64>>,
    /// Degrees Celsius that are left until clocks are lowered; negative beyond that.
    pub temperature_margin: Option<f64>,
    /// Of the greatest speed, by fan; can be above 1.
    pub fans: Vec<(u32, f64)>,
    /// Hertz, by domain.
    pub clocks: Vec<Named<u64>>,
    /// Hertz, by domain.
    pub clocks_max: Vec<Named<u64>>,
    /// 0 (fastest) to 15.
    pub performance_state: Option<u64>,
    /// Whether clocks are lowered for this reason, for every reason that the device has.
    pub throttle: Vec<Named<bool>>,
    /// Seconds for which they were since the driver was loaded, by reason.
    pub throttle_seconds: Vec<Named<f64>>,
    /// By profiling counters.
    pub activity: Activity,
    /// The PCIe bus.
    pub pcie: Pcie,
    /// NVLink, by link.
    pub links: Vec<Link>,
    /// Memory errors: type, scope, count.
    pub ecc: Vec<(&'static str, &'static str, u64)>,
    /// Pages taken out of use, by cause.
    pub retired: Vec<Named<u64>>,
    /// Rows replaced by spare ones, by cause.
    pub remapped: Vec<Named<u64>>,
    /// 1: a row waits to be replaced at the next reset.
    pub remap_pending: Option<u64>,
    /// 1: a row could not be replaced.
    pub remap_failure: Option<u64>,
    /// `NVML_GPU_RECOVERY_ACTION_*`.
    pub recovery_action: Option<u64>,
    /// In use of the memory that confidential computing protects, in bytes.
    pub protected_used: Option<u64>,
    /// All of that memory, in bytes.
    pub protected_total: Option<u64>,
    /// Of a virtual GPU.
    pub vgpu_license: Option<VgpuLicense>,
    /// MIG.
    pub instances: Vec<Instance>,
    /// Processes, if they are asked for.
    pub processes: Vec<Process>,
}

/// Whether the license that a virtual GPU needs is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VgpuLicense {
    /// None is needed.
    NotNeeded,
    /// It is needed, and not there.
    Missing,
    /// It is there.
    Licensed,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Allocated.
    pub used: Option<u64>,
    /// All of it.
    pub total: Option<u64>,
    /// Not in use.
    pub free: Option<u64>,
    /// For the driver and firmware.
    pub reserved: Option<u64>,
}

/// Shares of the time (or of what is possible in it) between two samples, 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// The graphics or compute engine was busy.
    pub graphics: Option<f64>,
    /// SMs had a warp, on average.
    pub sm: Option<f64>,
    /// Warps there were, of those that fit.
    pub occupancy: Option<f64>,
    /// Tensor cores were busy.
    pub tensor: Option<f64>,
    /// Memory bandwidth was used.
    pub dram: Option<f64>,
    /// Pipes were busy, by pipe.
    pub pipes: Vec<Named<f64>>,
}

/// The PCIe bus.
#[derive(Clone, Debug, Default)]
pub struct Pcie {
    /// Bytes sent by the GPU since the driver was loaded.
    pub transmit: Option<u64>,
    /// Bytes received by it.
    pub receive: Option<u64>,
    /// Packets sent again.
    pub replays: Option<u64>,
    /// Of the link as it is now.
    pub generation: Option<u64>,
    /// Lanes of the link as it is now.
    pub width: Option<u64>,
}

/// One NVLink.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its number.
    pub link: u32,
    /// 1: it is up. 0: it is down.
    pub up: Option<u64>,
    /// Payload bytes sent since the driver was loaded.
    pub transmit: Option<u64>,
    /// Payload bytes received.
    pub receive: Option<u64>,
    /// Errors, by type.
    pub errors: Vec<Named<u64>>,
}

/// One compute instance of MIG.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    /// Of its GPU instance.
    pub gpu_instance: String,
    /// Within that.
    pub compute_instance: String,
    /// As `1g.10gb`.
    pub profile: String,
    /// As `MIG-…`.
    pub uuid: String,
    /// Of the GPU instance, with its first compute instance only.
    pub memory: Option<Memory>,
    /// As `memory`.
    pub activity: Activity,
}

/// One process, or what is left of them.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The host's number of it, or `other`.
    pub pid: String,
    /// Its command, made printable; empty where it cannot be seen.
    pub command: String,
    /// The id of its container; empty where it has none.
    pub container: String,
    /// Bytes.
    pub memory: Option<u64>,
    /// Percent of the SMs.
    pub sm: Option<u64>,
}
