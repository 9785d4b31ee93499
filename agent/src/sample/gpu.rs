//! What the GPU source reads, in base units. An absent value is one that the device, its driver or its mode does not
//! support.

use std::sync::Arc;

use super::FailureKind;

/// Everything about the GPUs at one moment.
#[derive(Clone, Debug)]
pub struct Gpus {
    /// The state of driver and machine; `None` while NVML is not loaded.
    pub system: Option<Arc<System>>,
    /// Every GPU that was ever seen, in the order of `id`.
    pub gpus: Vec<Gpu>,
    /// Failed NVML calls since the agent started: call, code, count.
    pub errors: Vec<(&'static str, &'static str, u64)>,
    /// Whether the page also has the names of dcgm-exporter.
    pub dcgm_names: bool,
}

/// The state of driver and machine.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// The driver's GPUs (`nvmlDeviceGetCount_v2`).
    pub count: u32,
    /// Whether the library is the fake one for tests.
    pub fake: bool,
    /// Whether confidential computing is on (`nvmlSystemGetConfComputeSettings`).
    pub cc_enabled: Option<bool>,
    /// Whether the GPUs accept work, which software sets after attestation.
    pub cc_ready: Option<bool>,
    /// Whether developer tools are allowed, which ends all protection.
    pub cc_devtools: Option<bool>,
    /// Whether several GPUs are protected together over PCIe.
    pub cc_protected_pcie: Option<bool>,
    /// `production`, `simulation` or `unavailable`.
    pub cc_environment: Option<&'static str>,
}

/// One GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// The NVML index at which the GPU was first seen; constant while the agent runs.
    pub id: Arc<str>,
    /// The GPU's properties; `None` before it is first opened.
    pub info: Option<Arc<GpuInfo>>,
    /// The newest reading; `None` while the GPU is down, and after a pause of the agent until the next round.
    pub reading: Option<Arc<Reading>>,
    /// Why the GPU is down.
    pub down: Option<FailureKind>,
    /// XID errors since the agent started, also of a GPU that is down.
    pub xids: Vec<Xid>,
}

/// XID errors of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Xid {
    /// The XID, as in the kernel log.
    pub xid: u64,
    /// How often it occurred.
    pub count: u64,
    /// When the last was read, in seconds since 1970; at most one interval after it occurred.
    pub last: f64,
}

/// A GPU's properties, constant while it is open.
#[derive(Clone, Debug, Default)]
pub struct GpuInfo {
    /// `GPU-…`.
    pub uuid: String,
    /// The product name.
    pub model: String,
    /// As `00000000:17:00.0`.
    pub pci_bus_id: String,
    /// The version of the video BIOS; empty if there is none.
    pub vbios: String,
    /// As `nvidia0`; empty if there is none.
    pub device: String,
    /// The driver's version.
    pub driver_version: String,
    /// The highest CUDA version that the driver supports.
    pub cuda_version: String,
}

/// The plausible values of a metric, both ends included. NVML's values outside are counted as its errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidRange {
    /// The smallest plausible value.
    pub min: f64,
    /// The largest plausible value.
    pub max: f64,
}

impl ValidRange {
    /// Whether a value is plausible; NaN never is.
    pub fn contains(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// A value with its name.
pub type Named<T> = (&'static str, T);

/// One round's reading of a GPU.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The GPU's properties.
    pub info: Arc<GpuInfo>,
    /// Percent of the last sampling period in which a kernel ran (`nvmlDeviceGetUtilizationRates`).
    pub utilization: Option<u64>,
    /// Video encoder utilization, in percent (`nvmlDeviceGetEncoderUtilization`).
    pub encoder: Option<u64>,
    /// Video decoder utilization, in percent (`nvmlDeviceGetDecoderUtilization`).
    pub decoder: Option<u64>,
    /// JPEG decoder utilization, in percent (`nvmlDeviceGetJpgUtilization`).
    pub jpeg: Option<u64>,
    /// Optical flow accelerator utilization, in percent (`nvmlDeviceGetOfaUtilization`).
    pub ofa: Option<u64>,
    /// Percent of the last sampling period in which memory was read or written.
    pub memory_controller: Option<u64>,
    /// Framebuffer memory (`nvmlDeviceGetMemoryInfo_v2`).
    pub memory: Option<Memory>,
    /// BAR1 memory in use, in bytes (`nvmlDeviceGetBAR1MemoryInfo`).
    pub bar1_used: Option<u64>,
    /// All BAR1 memory, in bytes.
    pub bar1_total: Option<u64>,
    /// Power draw, in watts (`nvmlDeviceGetPowerUsage`).
    pub power: Option<f64>,
    /// Enforced power limit, in watts (`nvmlDeviceGetEnforcedPowerLimit`).
    pub power_limit: Option<f64>,
    /// Energy in joules since the driver was loaded.
    pub energy: Option<f64>,
    /// Degrees Celsius by sensor: `gpu`, `memory`.
    pub temperatures: Vec<Named<f64>>,
    /// Degrees Celsius by limit (`nvmlDeviceGetTemperatureThreshold`).
    pub temperature_limits: Vec<Named<f64>>,
    /// The limits of models that state them relative to the slowdown point, in degrees Celsius.
    pub temperature_margins: Vec<Named<f64>>,
    /// Degrees Celsius left until clocks are lowered, negative beyond (`nvmlDeviceGetMarginTemperature`).
    pub temperature_margin: Option<f64>,
    /// Intended speed by fan, as a ratio of the maximum; may exceed 1 (`nvmlDeviceGetFanSpeed_v2`).
    pub fans: Vec<(u32, f64)>,
    /// Clocks by domain, in hertz (`nvmlDeviceGetClockInfo`).
    pub clocks: Vec<Named<u64>>,
    /// Maximum clocks by domain, in hertz (`nvmlDeviceGetMaxClockInfo`).
    pub clocks_max: Vec<Named<u64>>,
    /// P-state: 0 (fastest) to 15 (`nvmlDeviceGetPerformanceState`).
    pub performance_state: Option<u64>,
    /// Whether clocks are lowered, for each reason that the device supports.
    pub throttle: Vec<Named<bool>>,
    /// Seconds of lowered clocks since the driver was loaded, by reason.
    pub throttle_seconds: Vec<Named<f64>>,
    /// Activity of the whole GPU.
    pub activity: Activity,
    /// The PCIe bus.
    pub pcie: Pcie,
    /// NVLinks, in the order of their numbers.
    pub links: Vec<Link>,
    /// ECC errors: type, scope, count.
    pub ecc: Vec<(&'static str, &'static str, u64)>,
    /// Retired memory pages, by cause.
    pub retired: Vec<Named<u64>>,
    /// Remapped memory rows, by cause.
    pub remapped: Vec<Named<u64>>,
    /// 1 if a row remap waits for the next reset, otherwise 0.
    pub remap_pending: Option<u64>,
    /// 1 if a row could not be remapped, otherwise 0.
    pub remap_failure: Option<u64>,
    /// `NVML_GPU_RECOVERY_ACTION_*`.
    pub recovery_action: Option<u64>,
    /// Memory in use under confidential computing, in bytes.
    pub protected_used: Option<u64>,
    /// All memory under confidential computing, in bytes.
    pub protected_total: Option<u64>,
    /// The license of a virtual GPU.
    pub vgpu_license: Option<VgpuLicense>,
    /// MIG compute instances.
    pub instances: Vec<Instance>,
    /// Processes, if they are read.
    pub processes: Vec<Process>,
}

/// The license of a virtual GPU (`nvmlDeviceGetGridLicensableFeatures_v4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VgpuLicense {
    /// The GPU needs none.
    NotNeeded,
    /// The GPU needs one and has none.
    Missing,
    /// The GPU has its license.
    Licensed,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Allocated memory.
    pub used: Option<u64>,
    /// All memory.
    pub total: Option<u64>,
    /// Memory that is not in use.
    pub free: Option<u64>,
    /// Memory of driver and firmware.
    pub reserved: Option<u64>,
}

/// GPM metrics of a GPU or GPU instance between two samples, as ratios from 0 to 1 (`nvmlGpmMetricsGet`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// Time in which the graphics or compute engine was busy.
    pub graphics: Option<f64>,
    /// Time in which SMs had a warp, averaged over SMs.
    pub sm: Option<f64>,
    /// Resident warps of those that fit.
    pub occupancy: Option<f64>,
    /// Time in which tensor cores were busy.
    pub tensor: Option<f64>,
    /// Memory bandwidth in use.
    pub dram: Option<f64>,
    /// Time in which each pipe was busy.
    pub pipes: Vec<Named<f64>>,
}

/// The PCIe bus.
#[derive(Clone, Debug, Default)]
pub struct Pcie {
    /// Bytes that the GPU has sent since the driver was loaded.
    pub transmit: Option<u64>,
    /// Bytes that the GPU has received since then.
    pub receive: Option<u64>,
    /// Replayed packets.
    pub replays: Option<u64>,
    /// Current link generation.
    pub generation: Option<u64>,
    /// Current link width, in lanes.
    pub width: Option<u64>,
}

/// One NVLink.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The link's number.
    pub link: u32,
    /// 1 if the link is up, 0 if it is down.
    pub up: Option<u64>,
    /// Payload bytes sent since the driver was loaded.
    pub transmit: Option<u64>,
    /// Payload bytes received since then.
    pub receive: Option<u64>,
    /// Errors by type.
    pub errors: Vec<Named<u64>>,
}

/// One MIG compute instance.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    /// The id of its GPU instance.
    pub gpu_instance: String,
    /// Its id within the GPU instance.
    pub compute_instance: String,
    /// The profile, as `1g.10gb`.
    pub profile: String,
    /// `MIG-…`.
    pub uuid: String,
    /// Memory of the GPU instance; only its first compute instance has it.
    pub memory: Option<Memory>,
    /// Activity of the GPU instance; only its first compute instance has it.
    pub activity: Activity,
}

/// One process, or the sum of those beyond the limit.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The process id in the host's pid namespace, or `other`.
    pub pid: String,
    /// The command, made printable; empty if it is not visible.
    pub command: String,
    /// The container id; empty if there is none.
    pub container: String,
    /// GPU memory in use, in bytes.
    pub memory: Option<u64>,
    /// SM utilization, in percent.
    pub sm: Option<u64>,
}
