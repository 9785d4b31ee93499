//! NVML's answers in its own numbers and units, before `decode` converts them.

/// A value as NVML types it (`nvmlValue_t`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// `unsigned int` and `unsigned short`: a counter of this type wraps at 32 bits.
    U32(u32),
    /// `unsigned long` and `unsigned long long`.
    U64(u64),
    /// The signed types.
    I64(i64),
    /// `double`.
    F64(f64),
}

impl Number {
    /// The value as a count; `None` if it is negative or a `double`.
    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Self::U32(count) => Some(count.into()),
            Self::U64(count) => Some(count),
            Self::I64(count) => u64::try_from(count).ok(),
            Self::F64(_) => None,
        }
    }
}

/// Versions of the loaded library and driver.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    /// The driver's version.
    pub(super) driver: Option<String>,
    /// The highest CUDA version that the driver supports.
    pub(super) cuda: Option<String>,
    /// Whether the library is the fake one for tests.
    pub(super) fake: bool,
}

/// A GPU's constant properties, which tell it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// `GPU-…`.
    pub(super) uuid: String,
    /// The product name.
    pub(super) name: String,
    /// The PCI bus id, as `00000000:17:00.0`.
    pub(super) bus_id: String,
    /// The version of the video BIOS.
    pub(super) vbios: Option<String>,
    /// N in `/dev/nvidiaN`.
    pub(super) minor: Option<u32>,
}

/// An XID error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XidEvent {
    /// The XID number.
    pub(super) xid: u64,
    /// The handle of the device that the event names, as an address.
    pub(super) device: usize,
}

/// One round's answers; `None` and absent entries were not read or are not supported.
#[derive(Clone, Debug, Default)]
pub(super) struct RawReading {
    /// Utilization of the GPU and of its memory controller, in percent.
    pub(super) utilization: Option<(u32, u32)>,
    /// Video encoder utilization, in percent.
    pub(super) encoder: Option<u32>,
    /// Video decoder utilization, in percent.
    pub(super) decoder: Option<u32>,
    /// JPEG decoder utilization, in percent.
    pub(super) jpeg: Option<u32>,
    /// Optical flow accelerator utilization, in percent.
    pub(super) ofa: Option<u32>,
    /// Framebuffer memory.
    pub(super) memory: Option<Memory>,
    /// BAR1 memory in bytes: used, total.
    pub(super) bar1: Option<(u64, u64)>,
    /// Power draw, in milliwatts.
    pub(super) power: Option<u32>,
    /// Enforced power limit, in milliwatts.
    pub(super) power_limit: Option<u32>,
    /// Core temperature in °C: signed, in NVML's unsigned type.
    pub(super) temperature: Option<u32>,
    /// Degrees Celsius left until clocks are lowered.
    pub(super) temperature_margin: Option<i32>,
    /// Thresholds by `nvmlTemperatureThresholds_t`, in °C: signed, in NVML's unsigned type.
    pub(super) thresholds: Vec<(u32, u32)>,
    /// Intended speed by fan, in percent of the maximum.
    pub(super) fans: Vec<(u32, u32)>,
    /// Clocks by `nvmlClockType_t`, in MHz.
    pub(super) clocks: Vec<(u32, u32)>,
    /// Maximum clocks by `nvmlClockType_t`, in MHz.
    pub(super) clocks_max: Vec<(u32, u32)>,
    /// P-state: 0 (fastest) to 15.
    pub(super) performance_state: Option<u32>,
    /// Active reasons for lower clocks (`nvmlClocksEventReason*` bits).
    pub(super) reasons: Option<u64>,
    /// The bits that the device can set in `reasons`.
    pub(super) reasons_supported: Option<u64>,
    /// PCIe generation, from 1.
    pub(super) pcie_generation: Option<u32>,
    /// PCIe lanes.
    pub(super) pcie_width: Option<u32>,
    /// Links: 1 for up, 0 for down.
    pub(super) links: Vec<(u32, u32)>,
    /// GPM metrics by `nvmlGpmMetricId_t`, 0 to 100.
    pub(super) gpm: Vec<(u32, f64)>,
    /// Size of protected memory, in KiB.
    pub(super) protected_size: Option<u64>,
    /// Protected memory in bytes: used, total.
    pub(super) protected_used: Option<(u64, u64)>,
    /// Of a virtual GPU: whether it needs a license, and whether it has one.
    pub(super) license: Option<(bool, bool)>,
    /// MIG instances; `None` if MIG is off or not supported.
    pub(super) instances: Option<Vec<Instance>>,
    /// Processes on the GPU; `None` if they are not read.
    pub(super) processes: Option<Vec<Process>>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// All memory.
    pub(super) total: u64,
    /// Memory that the system reserves; `None` if the library is too old to tell it from `used`.
    pub(super) reserved: Option<u64>,
    /// Memory that is not in use.
    pub(super) free: u64,
    /// Allocated memory.
    pub(super) used: u64,
}

/// A MIG compute instance.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "NVIDIA's terms")]
pub(super) struct Instance {
    /// The id of its GPU instance.
    pub(super) gpu_instance: u32,
    /// Its id within the GPU instance.
    pub(super) compute_instance: u32,
    /// `MIG-…`.
    pub(super) uuid: String,
    /// The profile, as `1g.10gb`.
    pub(super) profile: String,
    /// Memory of the GPU instance.
    pub(super) memory: Option<Memory>,
    /// As [`RawReading::gpm`], of the GPU instance.
    pub(super) gpm: Vec<(u32, f64)>,
}

/// A process on the GPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// The process id in the driver's pid namespace, which is the host's.
    pub(super) pid: u32,
    /// GPU memory in use, in bytes.
    pub(super) memory: Option<u64>,
    /// SM utilization in the newest sample, in percent.
    pub(super) sm: Option<u32>,
}

/// The machine's state of confidential computing; `None` where NVML does not state it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfCompute {
    /// Whether the feature is on.
    pub(super) enabled: Option<bool>,
    /// `NVML_CC_SYSTEM_ENVIRONMENT_*`.
    pub(super) environment: Option<u32>,
    /// Whether developer tools are allowed, which ends all protection.
    pub(super) devtools: Option<bool>,
    /// `NVML_CC_SYSTEM_MULTIGPU_*`.
    pub(super) multi_gpu: Option<u32>,
    /// Whether the GPUs accept work.
    pub(super) ready: Option<bool>,
}
