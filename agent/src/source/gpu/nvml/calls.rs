//! Every call of a round, and how often it is made.

use std::sync::Arc;

use nvml_wrapper_sys::bindings::*;

use super::{
    super::raw::{Memory, Pace, Raw, Trouble},
    Device, version,
};

/// A utilization that NVML samples: percent, and the period in microseconds, which is not needed.
macro_rules! sampled {
    ($board:expr, $function:ident) => {{
        let (mut percent, mut period) = (0, 0);
        nvml!(
            $board.nvml,
            $function($board.handle, &raw mut percent, &raw mut period)
        )
        .map(|()| percent)
    }};
}

/// The value of a call under its name of today, or under the one that drivers before 535 have. Some libraries have the
/// symbol of the new one, which then says that it is not supported.
macro_rules! renamed {
    ($board:expr, $new:ident, $old:ident) => {
        match get!($board, $new) {
            Err(error) if error.code.is_unsupported() => {
                // Where neither is there, the new one's reason counts.
                get!($board, $old).map_err(|older| {
                    if older.code.is_unsupported() {
                        error
                    } else {
                        older
                    }
                })
            }
            told => told,
        }
    };
}

/// A call and how often it is made.
pub(super) struct Call(
    pub(super) Pace,
    pub(super) fn(&mut Device, &mut Raw) -> Result<(), Trouble>,
);

/// Every call, in order.
pub(super) static CALLS: &[Call] = &[
    Call(Pace::Round, Device::memory),
    Call(Pace::Round, |board, raw| {
        let told: nvmlUtilization_t = get!(board, nvmlDeviceGetUtilizationRates)?;
        raw.utilization = Some((told.gpu, told.memory));
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        raw.encoder = Some(sampled!(board, nvmlDeviceGetEncoderUtilization)?);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        raw.decoder = Some(sampled!(board, nvmlDeviceGetDecoderUtilization)?);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        raw.jpeg = Some(sampled!(board, nvmlDeviceGetJpgUtilization)?);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        raw.ofa = Some(sampled!(board, nvmlDeviceGetOfaUtilization)?);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        raw.power = Some(get!(board, nvmlDeviceGetPowerUsage)?);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        let told: u32 = get!(
            board,
            nvmlDeviceGetTemperature,
            nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU
        )?;
        // Signed in an unsigned type.
        raw.temperature = Some(told.cast_signed());
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        let mut told = nvmlMarginTemperature_t {
            version: version::<nvmlMarginTemperature_t>(1),
            marginTemperature: 0,
        };
        nvml!(
            board.nvml,
            nvmlDeviceGetMarginTemperature(board.handle, &raw mut told)
        )?;
        raw.temperature_margin = Some(told.marginTemperature);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        board.clock(nvmlClockType_enum_NVML_CLOCK_SM, raw)
    }),
    Call(Pace::Round, |board, raw| {
        board.clock(nvmlClockType_enum_NVML_CLOCK_MEM, raw)
    }),
    Call(Pace::Slow, |board, raw| {
        board.clock(nvmlClockType_enum_NVML_CLOCK_GRAPHICS, raw)
    }),
    Call(Pace::Slow, |board, raw| {
        board.clock(nvmlClockType_enum_NVML_CLOCK_VIDEO, raw)
    }),
    Call(Pace::Round, |board, raw| {
        raw.performance_state =
            Some(get!(board, nvmlDeviceGetPerformanceState)?).filter(|state| *state <= 15);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        raw.reasons = Some(renamed!(
            board,
            nvmlDeviceGetCurrentClocksEventReasons,
            nvmlDeviceGetCurrentClocksThrottleReasons
        )?);
        Ok(())
    }),
    Call(Pace::Slow, |board, raw| {
        raw.reasons_supported = Some(renamed!(
            board,
            nvmlDeviceGetSupportedClocksEventReasons,
            nvmlDeviceGetSupportedClocksThrottleReasons
        )?);
        Ok(())
    }),
    Call(Pace::Round, |board, raw| {
        let (nvml, device) = (Arc::clone(&board.nvml), board.handle);
        raw.gpm = board.gpm.round(&nvml, device, None)?;
        Ok(())
    }),
    Call(Pace::Slow, |board, raw| {
        let told: nvmlBAR1Memory_t = get!(board, nvmlDeviceGetBAR1MemoryInfo)?;
        raw.bar1 = Some((told.bar1Used, told.bar1Total));
        Ok(())
    }),
    Call(Pace::Slow, |board, raw| {
        raw.power_limit = Some(get!(board, nvmlDeviceGetEnforcedPowerLimit)?);
        Ok(())
    }),
    Call(Pace::Slow, Device::thresholds),
    Call(Pace::Slow, Device::fans),
    Call(Pace::Slow, Device::clocks_max),
    Call(Pace::Slow, |board, raw| {
        raw.pcie_generation = Some(get!(board, nvmlDeviceGetCurrPcieLinkGeneration)?);
        Ok(())
    }),
    Call(Pace::Slow, |board, raw| {
        raw.pcie_width = Some(get!(board, nvmlDeviceGetCurrPcieLinkWidth)?);
        Ok(())
    }),
    Call(Pace::Slow, Device::links),
    Call(Pace::Slow, |board, raw| {
        let told: nvmlConfComputeMemSizeInfo_t = get!(board, nvmlDeviceGetConfComputeMemSizeInfo)?;
        raw.protected_size = Some(told.protectedMemSizeKib);
        Ok(())
    }),
    Call(Pace::Slow, |board, raw| {
        let told: nvmlMemory_t = get!(board, nvmlDeviceGetConfComputeProtectedMemoryUsage)?;
        raw.protected_used = Some((told.used, told.total));
        Ok(())
    }),
    Call(Pace::Slow, |board, raw| {
        let told: nvmlGridLicensableFeatures_t =
            get!(board, nvmlDeviceGetGridLicensableFeatures_v4)?;
        let features = told.gridLicensableFeatures.iter();
        let mut features = features.take(told.licensableFeaturesCount as usize);
        let licensed = features.any(|feature| {
            feature.featureCode == nvmlGridLicenseFeatureCode_t_NVML_GRID_LICENSE_FEATURE_CODE_VGPU
                && feature.featureState > 0
        });
        raw.license = Some((told.isGridLicenseSupported != 0, licensed));
        Ok(())
    }),
    Call(Pace::Slow, |board, _| board.find_instances()),
    Call(Pace::Round, Device::instances),
    Call(Pace::Processes, Device::processes),
];

/// Whatever a library says that there are, so many fans are asked for at most.
const FANS_MOST: u32 = 64;

/// Asks for each of a few values; those that are not supported are left out, and it is an error if all are.
fn each<T>(
    which: impl IntoIterator<Item = u32>,
    mut read: impl FnMut(u32) -> Result<T, Trouble>,
) -> Result<Vec<(u32, T)>, Trouble> {
    let mut told = Vec::new();
    let mut missing = None;
    for which in which {
        match read(which) {
            Ok(value) => told.push((which, value)),
            Err(error) if error.code.is_unsupported() => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if told.is_empty() => Err(error),
        _ => Ok(told),
    }
}

impl Device {
    fn memory(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        raw.memory = Some(self.memory_of(self.handle)?);
        Ok(())
    }

    /// Of a device or an instance. The first version counts what the system reserves as used.
    pub(super) fn memory_of(&self, device: nvmlDevice_t) -> Result<Memory, Trouble> {
        if self.nvml.lib().nvmlDeviceGetMemoryInfo_v2.is_ok() {
            let mut told = nvmlMemory_v2_t {
                version: version::<nvmlMemory_v2_t>(2),
                total: 0,
                reserved: 0,
                free: 0,
                used: 0,
            };
            match nvml!(self.nvml, nvmlDeviceGetMemoryInfo_v2(device, &raw mut told)) {
                Ok(()) => {
                    return Ok(Memory {
                        total: told.total,
                        reserved: Some(told.reserved),
                        free: told.free,
                        used: told.used,
                    });
                }
                // Some virtual GPUs have the first version only.
                Err(error) if error.code.is_unsupported() => {}
                Err(error) => return Err(error),
            }
        }
        let mut told = nvmlMemory_t {
            total: 0,
            free: 0,
            used: 0,
        };
        nvml!(self.nvml, nvmlDeviceGetMemoryInfo(device, &raw mut told))?;
        Ok(Memory {
            total: told.total,
            reserved: None,
            free: told.free,
            used: told.used,
        })
    }

    /// MHz, in place of what was read before.
    fn clock(&mut self, domain: nvmlClockType_t, raw: &mut Raw) -> Result<(), Trouble> {
        let told = get!(self, nvmlDeviceGetClockInfo, domain)?;
        raw.clocks.retain(|(known, _)| *known != domain);
        raw.clocks.push((domain, told));
        Ok(())
    }

    fn clocks_max(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        raw.clocks_max = each(0..4, |domain| get!(self, nvmlDeviceGetMaxClockInfo, domain))?;
        Ok(())
    }

    fn thresholds(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        raw.thresholds = each(0..4, |threshold| {
            let told: u32 = get!(self, nvmlDeviceGetTemperatureThreshold, threshold)?;
            Ok(told.cast_signed())
        })?;
        Ok(())
    }

    fn fans(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        let fans: u32 = get!(self, nvmlDeviceGetNumFans)?;
        raw.fans = each(0..fans.min(FANS_MOST), |fan| {
            get!(self, nvmlDeviceGetFanSpeed_v2, fan)
        })?;
        Ok(())
    }

    /// Some drivers say of links beyond those that the device has that they are down. Where the count is not told, all
    /// that answer are its links.
    fn links(&mut self, raw: &mut Raw) -> Result<(), Trouble> {
        let count = self.links.unwrap_or(NVML_NVLINK_MAX_LINKS);
        raw.links = each(0..count.min(NVML_NVLINK_MAX_LINKS), |link| {
            get!(self, nvmlDeviceGetNvLinkState, link)
        })?;
        Ok(())
    }
}
