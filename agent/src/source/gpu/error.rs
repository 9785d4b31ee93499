//! The errors that NVML calls return.

/// A return code of NVML (`nvmlReturn_t`) other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NvmlReturn(pub u32);

impl NvmlReturn {
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
    /// `NVML_ERROR_LIBRARY_NOT_FOUND`.
    pub(super) const LIBRARY_NOT_FOUND: Self = Self(12);
    /// `NVML_ERROR_FUNCTION_NOT_FOUND`; also stands for a symbol that an old library lacks.
    pub(super) const FUNCTION_NOT_FOUND: Self = Self(13);
    /// The agent's own: the call succeeded with a value outside the metric's valid range.
    pub(super) const IMPLAUSIBLE: Self = Self(u32::MAX);

    /// The name in `nvmlReturn_t`, in lower case; the value of the label `code`.
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

    /// Whether this device, driver or caller cannot have the value at all, so that trying again is pointless.
    pub(super) const fn is_unsupported(self) -> bool {
        matches!(self.0, 2 | 3 | 4 | 13 | 22 | 25 | 26)
    }

    /// Whether the device handle is unusable from now on.
    pub(super) const fn is_fatal(self) -> bool {
        matches!(self.0, 1 | 9 | 11 | 15 | 16 | 18 | 28)
    }

    /// One line for an operator, with the way out where there is one.
    pub(super) const fn meaning(self) -> &'static str {
        match self.0 {
            1 => "NVML was shut down, as when the driver is reloaded",
            4 => "permission denied; help: give the agent read and write access to /dev/nvidia*",
            6 | 28 => "the GPU is not there: it was removed or has fallen off the bus",
            9 => "the NVIDIA driver is not loaded; help: load the kernel module nvidia",
            11 => "the GPU's interrupts do not arrive; help: see the kernel log",
            15 => {
                "the GPU has fallen off the bus, or was reset or removed; help: see the kernel log for its XID"
            }
            16 => "the GPU needs a reset; help: run nvidia-smi --gpu-reset",
            18 => {
                "NVML and the kernel module have different versions; help: reload the module or reboot"
            }
            _ => "NVML failed",
        }
    }
}

/// A failed NVML call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{call}: {} ({})", code.meaning(), code.name())]
pub(super) struct NvmlError {
    /// The function's name in NVML.
    pub(super) call: &'static str,
    /// What it returned.
    pub(super) code: NvmlReturn,
}
