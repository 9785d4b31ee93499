//! The seam: what the GPU source asks of a driver, and its answers in NVML's own numbers and units. Nothing
//! here knows how they are asked for; nothing else knows NVML's library.

use std::{sync::Arc, time::Duration};

use super::fields::FieldValue;

/// A return code of NVML (`nvmlReturn_t`) other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code(pub u32);

impl Code {
    /// `NVML_ERROR_NOT_SUPPORTED`.
    pub(super) const NOT_SUPPORTED: Self = Self(3);
    /// `NVML_ERROR_NO_PERMISSION`.
    pub(super) const NO_PERMISSION: Self = Self(4);
    /// `NVML_ERROR_NOT_FOUND`.
    pub(super) const NOT_FOUND: Self = Self(6);
    /// `NVML_ERROR_INSUFFICIENT_SIZE`.
    pub(super) const INSUFFICIENT_SIZE: Self = Self(7);
    /// `NVML_ERROR_DRIVER_NOT_LOADED`.
    pub(super) const DRIVER_NOT_LOADED: Self = Self(9);
    /// `NVML_ERROR_TIMEOUT`.
    pub(super) const TIMEOUT: Self = Self(10);
    /// Not NVML's: it answered, with a figure that cannot be.
    pub(super) const IMPLAUSIBLE: Self = Self(u32::MAX);
    /// `NVML_ERROR_FUNCTION_NOT_FOUND`: also for a symbol that an old library has not.
    pub(super) const FUNCTION_NOT_FOUND: Self = Self(13);

    /// In the words of `nvmlReturn_t`, in lower case; for the label `code`.
    pub(super) const fn name(self) -> &'static str {
        match self.0 {
            1 => "uninitialized",
            2 => "invalid_argument",
            3 => "not_supported",
            4 => "no_permission",
            5 => "already_initialized",
            6 => "not_found",
            7 => "insufficient_size",
            8 => "insufficient_power",
            9 => "driver_not_loaded",
            10 => "timeout",
            11 => "irq_issue",
            12 => "library_not_found",
            13 => "function_not_found",
            14 => "corrupted_inforom",
            15 => "gpu_is_lost",
            16 => "reset_required",
            17 => "operating_system",
            18 => "lib_rm_version_mismatch",
            19 => "in_use",
            20 => "memory",
            21 => "no_data",
            22 => "vgpu_ecc_not_supported",
            23 => "insufficient_resources",
            24 => "freq_not_supported",
            25 => "argument_version_mismatch",
            26 => "deprecated",
            27 => "not_ready",
            28 => "gpu_not_found",
            29 => "invalid_state",
            30 => "reset_type_not_supported",
            999 => "unknown",
            u32::MAX => "implausible",
            _ => "unlisted",
        }
    }

    /// Whether it says that this device, driver or caller does not get the value at all.
    pub(super) const fn is_unsupported(self) -> bool {
        matches!(self.0, 2 | 3 | 4 | 13 | 22 | 25 | 26)
    }

    /// Whether nothing can be asked of this device any more with the handle that was used.
    pub(super) const fn is_fatal(self) -> bool {
        matches!(self.0, 1 | 9 | 11 | 15 | 16 | 18 | 28)
    }

    /// One line for a person, with the mend.
    pub(super) const fn meaning(self) -> &'static str {
        match self.0 {
            1 => "NVML was shut down under it, as when the driver is loaded anew",
            4 => "no permission: /dev/nvidia* must be readable and writable for the agent",
            6 | 28 => "it is not there: removed, or fallen off the bus",
            9 => "the NVIDIA driver is not loaded: load the module nvidia",
            11 => "its interrupts do not arrive: see the kernel's log",
            15 => {
                "it has fallen off the bus, or was reset or removed: see the kernel's log for its XID"
            }
            16 => "it needs a reset before it can be used again: nvidia-smi --gpu-reset",
            18 => {
                "library and kernel module are of different versions: load the module anew, or reboot"
            }
            _ => "NVML failed",
        }
    }
}

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{call}: {} ({})", code.meaning(), code.name())]
pub(super) struct Trouble {
    /// NVML's name of the call.
    pub(super) call: &'static str,
    /// What it returned.
    pub(super) code: Code,
}

/// An NVML library that is loaded and initialised.
pub(super) trait Driver: Send + Sync {
    /// What does not change while it is loaded.
    fn versions(&self) -> &Versions;

    /// How many GPUs it has (`nvmlDeviceGetCount_v2`).
    fn count(&self) -> Result<u32, Trouble>;

    /// Opens a GPU. Without persistence mode this can take seconds.
    fn open(&self, at: &At) -> Result<Box<dyn Board>, Trouble>;

    /// The state of confidential computing, which belongs to the machine; what fails goes to `trouble`.
    fn conf_compute(&self, trouble: &mut dyn FnMut(Trouble)) -> ConfCompute;
}

/// Which GPU to open.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// The NVML index.
    Index(u32),
    /// The PCI bus id, as NVML writes it.
    BusId(Arc<str>),
}

/// Versions of what is loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    /// Of the driver.
    pub(super) driver: Option<String>,
    /// The highest CUDA version that the driver offers.
    pub(super) cuda: Option<String>,
    /// Whether the library is the one that the tests make GPUs up with.
    pub(super) fake: bool,
}

/// One open GPU.
pub(super) trait Board: Send {
    /// Who it is.
    fn identity(&mut self) -> Result<Identity, Trouble>;

    /// What events name the device by, in this start of the library.
    fn handle(&self) -> usize;

    /// Adds the XID errors since the last look, in order: those that it has, also if it fails then. Waits so long for
    /// the first.
    fn xids(&mut self, patience: Duration, xids: &mut Vec<Event>) -> Result<(), Trouble>;

    /// How often each call that it knows is made, in the order in which they are made.
    fn paces(&self) -> Vec<Pace>;

    /// Makes one of them and puts what it says into `raw`.
    fn call(&mut self, index: usize, raw: &mut Raw) -> Result<(), Trouble>;

    /// Reads all the fields with one call. A field's own failure is its value.
    fn fields(&mut self, fields: &mut [FieldValue]) -> Result<(), Trouble>;
}

/// An XID error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its number.
    pub(super) xid: u64,
    /// The device that it names: [`Board::handle`] of one.
    pub(super) device: usize,
}

/// How often a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Every round.
    Round,
    /// Every [`super::open::SLOW`]: limits, links, what changes by an administrator's hand.
    Slow,
    /// Every round, if processes are asked for.
    Processes,
}

/// A value as NVML typed it (`nvmlValue_t`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// `unsigned int` and `unsigned short`: a counter of this type wraps.
    U32(u32),
    /// `unsigned long` and `unsigned long long`.
    U64(u64),
    /// The signed types.
    I64(i64),
    /// `double`.
    F64(f64),
}

impl Number {
    /// A count; `None` if it is none: negative, or no whole number.
    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Self::U32(count) => Some(count.into()),
            Self::U64(count) => Some(count),
            Self::I64(count) => u64::try_from(count).ok(),
            Self::F64(_) => None,
        }
    }
}

/// What tells one GPU from another, and does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// As `GPU-…`.
    pub(super) uuid: String,
    /// The product's name.
    pub(super) name: String,
    /// As `00000000:17:00.0`.
    pub(super) bus_id: String,
    /// Of the video BIOS.
    pub(super) vbios: Option<String>,
    /// N in `/dev/nvidiaN`.
    pub(super) minor: Option<u32>,
}

/// What a round read; `None` and absent entries were not read or are not supported.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw {
    /// GPU and memory controller, in percent.
    pub(super) utilization: Option<(u32, u32)>,
    /// Percent.
    pub(super) encoder: Option<u32>,
    /// Percent.
    pub(super) decoder: Option<u32>,
    /// Percent.
    pub(super) jpeg: Option<u32>,
    /// Percent.
    pub(super) ofa: Option<u32>,
    /// Bytes.
    pub(super) memory: Option<Memory>,
    /// Bytes: used, total.
    pub bar1: Option<(u64, u64)>,
    /// Milliwatts.
    pub(super) power: Option<u32>,
    /// Milliwatts.
    pub(super) power_limit: Option<u32>,
    /// Degrees Celsius.
    pub(super) temperature: Option<i32>,
    /// Degrees Celsius that are left until clocks are lowered.
    pub(super) temperature_margin: Option<i32>,
    /// Degrees Celsius, by `nvmlTemperatureThresholds_t`.
    pub(super) thresholds: Vec<(u32, i32)>,
    /// Percent, by fan.
    pub(super) fans: Vec<(u32, u32)>,
    /// MHz, by `nvmlClockType_t`.
    pub(super) clocks: Vec<(u32, u32)>,
    /// MHz, by `nvmlClockType_t`.
    pub(super) clocks_max: Vec<(u32, u32)>,
    /// 0 (highest) to 15.
    pub(super) performance_state: Option<u32>,
    /// Bits of `nvmlClocksEventReason*`.
    pub(super) reasons: Option<u64>,
    /// Bits that the device can set.
    pub(super) reasons_supported: Option<u64>,
    /// 1 and on.
    pub(super) pcie_generation: Option<u32>,
    /// Lanes.
    pub(super) pcie_width: Option<u32>,
    /// Link and whether it is up (1) or not (0).
    pub(super) links: Vec<(u32, u32)>,
    /// Values in 0 to 100, by `nvmlGpmMetricId_t`.
    pub(super) gpm: Vec<(u32, f64)>,
    /// KiB of protected memory; bytes used in it.
    pub(super) protected_size: Option<u64>,
    /// Bytes: used, total.
    pub(super) protected_used: Option<(u64, u64)>,
    /// Whether a license is needed (of a virtual GPU), and whether it is there.
    pub(super) license: Option<(bool, bool)>,
    /// MIG instances; `None` when MIG is off or not there.
    pub(super) instances: Option<Vec<Instance>>,
    /// Who computes.
    pub(super) processes: Option<Vec<Process>>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// All of it.
    pub(super) total: u64,
    /// For the system; `None` where the library is too old to tell it from what is used.
    pub(super) reserved: Option<u64>,
    /// Not in use.
    pub(super) free: u64,
    /// Allocated.
    pub(super) used: u64,
}

/// One compute instance of MIG.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "MIG's own words")]
pub(super) struct Instance {
    /// Of its GPU instance.
    pub(super) gpu_instance: u32,
    /// Within that.
    pub(super) compute_instance: u32,
    /// As `MIG-…`.
    pub(super) uuid: String,
    /// As `1g.10gb`.
    pub(super) profile: String,
    /// Of its GPU instance.
    pub(super) memory: Option<Memory>,
    /// Of its GPU instance: as [`Raw::gpm`].
    pub(super) gpm: Vec<(u32, f64)>,
}

/// A process on the GPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// In the driver's own namespace of processes: the host's.
    pub(super) pid: u32,
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Percent of the last samples.
    pub(super) sm: Option<u32>,
}

/// Confidential computing, as the system states it; `None` where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfCompute {
    /// The feature is on.
    pub(super) enabled: Option<bool>,
    /// `NVML_CC_SYSTEM_ENVIRONMENT_*`.
    pub(super) environment: Option<u32>,
    /// Developer tools are allowed: no protection.
    pub(super) devtools: Option<bool>,
    /// `NVML_CC_SYSTEM_MULTIGPU_*`.
    pub(super) multi_gpu: Option<u32>,
    /// The GPUs accept work.
    pub(super) ready: Option<bool>,
}
