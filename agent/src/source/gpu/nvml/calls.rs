//! The calls of a round, each with its schedule.

use nvml_wrapper_sys::bindings::*;

use super::{
    ffi::{Device, struct_version},
    gpm::Gpm,
    memory,
    mig::MigInstances,
    processes::ProcessReader,
};
use crate::source::gpu::{api::Schedule, error::NvmlError, raw::RawReading};

/// The most fans that are read, whatever number the library reports.
const MAX_FANS: u32 = 64;

/// What the calls of a device keep between rounds.
pub(super) struct DeviceState {
    pub(super) device: Device,
    /// NVLinks of the device; `None` if it does not state their number.
    pub(super) links: Option<u32>,
    gpm: Gpm,
    mig: MigInstances,
    processes: ProcessReader,
}

impl DeviceState {
    /// The state of a device that was just opened.
    pub(super) fn new(device: Device) -> Self {
        Self {
            device,
            links: None,
            gpm: Gpm::default(),
            mig: MigInstances::default(),
            processes: ProcessReader::default(),
        }
    }
}

/// A utilization, in percent. NVML returns its sampling period too, which is not needed.
macro_rules! utilization {
    ($device:expr, $function:ident) => {{
        let (mut percent, mut period) = (0, 0);
        nvml!(
            $device.nvml,
            $function($device.handle, &raw mut percent, &raw mut period)
        )
        .map(|()| percent)
    }};
}

/// The value of a call under its current name, or under its name before driver 535. Some libraries have the new symbol
/// without supporting it.
macro_rules! renamed {
    ($device:expr, $new:ident, $old:ident) => {
        get!($device, $new).or_else(|error: NvmlError| {
            if !error.code.is_unsupported() {
                return Err(error);
            }
            // If neither works, the new name's error counts.
            get!($device, $old).map_err(|older: NvmlError| {
                if older.code.is_unsupported() {
                    error
                } else {
                    older
                }
            })
        })
    };
}

/// A call and its schedule.
pub(super) struct Call(
    pub(super) Schedule,
    pub(super) fn(&mut DeviceState, &mut RawReading) -> Result<(), NvmlError>,
);

const fn every_round(call: fn(&mut DeviceState, &mut RawReading) -> Result<(), NvmlError>) -> Call {
    Call(Schedule::EveryRound, call)
}

const fn slow(call: fn(&mut DeviceState, &mut RawReading) -> Result<(), NvmlError>) -> Call {
    Call(Schedule::Slow, call)
}

/// Every call, in the order in which they are made.
pub(super) static CALLS: &[Call] = &[
    every_round(|it, raw| {
        raw.memory = Some(memory::read(&it.device)?);
        Ok(())
    }),
    every_round(|it, raw| {
        let rates: nvmlUtilization_t = get!(it.device, nvmlDeviceGetUtilizationRates)?;
        raw.utilization = Some((rates.gpu, rates.memory));
        Ok(())
    }),
    every_round(|it, raw| {
        raw.encoder = Some(utilization!(it.device, nvmlDeviceGetEncoderUtilization)?);
        Ok(())
    }),
    every_round(|it, raw| {
        raw.decoder = Some(utilization!(it.device, nvmlDeviceGetDecoderUtilization)?);
        Ok(())
    }),
    every_round(|it, raw| {
        raw.jpeg = Some(utilization!(it.device, nvmlDeviceGetJpgUtilization)?);
        Ok(())
    }),
    every_round(|it, raw| {
        raw.ofa = Some(utilization!(it.device, nvmlDeviceGetOfaUtilization)?);
        Ok(())
    }),
    every_round(|it, raw| {
        raw.power = Some(get!(it.device, nvmlDeviceGetPowerUsage)?);
        Ok(())
    }),
    every_round(|it, raw| {
        let sensor = nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU;
        raw.temperature = Some(get!(it.device, nvmlDeviceGetTemperature, sensor)?);
        Ok(())
    }),
    every_round(|it, raw| {
        let mut margin = nvmlMarginTemperature_t {
            version: struct_version::<nvmlMarginTemperature_t>(1),
            marginTemperature: 0,
        };
        nvml!(
            it.device.nvml,
            nvmlDeviceGetMarginTemperature(it.device.handle, &raw mut margin)
        )?;
        raw.temperature_margin = Some(margin.marginTemperature);
        Ok(())
    }),
    every_round(|it, raw| clock(&it.device, nvmlClockType_enum_NVML_CLOCK_SM, raw)),
    every_round(|it, raw| clock(&it.device, nvmlClockType_enum_NVML_CLOCK_MEM, raw)),
    slow(|it, raw| clock(&it.device, nvmlClockType_enum_NVML_CLOCK_GRAPHICS, raw)),
    slow(|it, raw| clock(&it.device, nvmlClockType_enum_NVML_CLOCK_VIDEO, raw)),
    every_round(|it, raw| {
        let state: u32 = get!(it.device, nvmlDeviceGetPerformanceState)?;
        // 32 is `NVML_PSTATE_UNKNOWN`.
        raw.performance_state = Some(state).filter(|state| *state <= 15);
        Ok(())
    }),
    every_round(|it, raw| {
        raw.reasons = Some(renamed!(
            it.device,
            nvmlDeviceGetCurrentClocksEventReasons,
            nvmlDeviceGetCurrentClocksThrottleReasons
        )?);
        Ok(())
    }),
    slow(|it, raw| {
        raw.reasons_supported = Some(renamed!(
            it.device,
            nvmlDeviceGetSupportedClocksEventReasons,
            nvmlDeviceGetSupportedClocksThrottleReasons
        )?);
        Ok(())
    }),
    every_round(|it, raw| {
        raw.gpm = it.gpm.read(&it.device, None)?;
        Ok(())
    }),
    slow(|it, raw| {
        let bar1: nvmlBAR1Memory_t = get!(it.device, nvmlDeviceGetBAR1MemoryInfo)?;
        raw.bar1 = Some((bar1.bar1Used, bar1.bar1Total));
        Ok(())
    }),
    slow(|it, raw| {
        raw.power_limit = Some(get!(it.device, nvmlDeviceGetEnforcedPowerLimit)?);
        Ok(())
    }),
    slow(|it, raw| {
        raw.thresholds = each(0..4, |threshold| {
            get!(it.device, nvmlDeviceGetTemperatureThreshold, threshold)
        })?;
        Ok(())
    }),
    slow(|it, raw| {
        let count: u32 = get!(it.device, nvmlDeviceGetNumFans)?;
        raw.fans = each(0..count.min(MAX_FANS), |fan| {
            get!(it.device, nvmlDeviceGetFanSpeed_v2, fan)
        })?;
        Ok(())
    }),
    slow(|it, raw| {
        raw.clocks_max = each(0..4, |domain| {
            get!(it.device, nvmlDeviceGetMaxClockInfo, domain)
        })?;
        Ok(())
    }),
    slow(|it, raw| {
        raw.pcie_generation = Some(get!(it.device, nvmlDeviceGetCurrPcieLinkGeneration)?);
        Ok(())
    }),
    slow(|it, raw| {
        raw.pcie_width = Some(get!(it.device, nvmlDeviceGetCurrPcieLinkWidth)?);
        Ok(())
    }),
    slow(|it, raw| {
        // Some drivers report links beyond the device's own as down. If it does not state its number, all that answer
        // are its links.
        let count = it.links.unwrap_or(NVML_NVLINK_MAX_LINKS);
        raw.links = each(0..count.min(NVML_NVLINK_MAX_LINKS), |link| {
            get!(it.device, nvmlDeviceGetNvLinkState, link)
        })?;
        Ok(())
    }),
    slow(|it, raw| {
        let size: nvmlConfComputeMemSizeInfo_t =
            get!(it.device, nvmlDeviceGetConfComputeMemSizeInfo)?;
        raw.protected_size = Some(size.protectedMemSizeKib);
        Ok(())
    }),
    slow(|it, raw| {
        let memory: nvmlMemory_t = get!(it.device, nvmlDeviceGetConfComputeProtectedMemoryUsage)?;
        raw.protected_used = Some((memory.used, memory.total));
        Ok(())
    }),
    slow(|it, raw| {
        let grid: nvmlGridLicensableFeatures_t =
            get!(it.device, nvmlDeviceGetGridLicensableFeatures_v4)?;
        let features = grid.gridLicensableFeatures.iter();
        let mut features = features.take(grid.licensableFeaturesCount as usize);
        let is_licensed = features.any(|feature| {
            feature.featureCode == nvmlGridLicenseFeatureCode_t_NVML_GRID_LICENSE_FEATURE_CODE_VGPU
                && feature.featureState > 0
        });
        raw.license = Some((grid.isGridLicenseSupported != 0, is_licensed));
        Ok(())
    }),
    slow(|it, _| it.mig.find(&it.device)),
    every_round(|it, raw| {
        let result = it.mig.read(&it.device);
        raw.instances = Some(it.mig.instances());
        result
    }),
    Call(Schedule::Processes, |it, raw| {
        raw.processes = Some(it.processes.read(&it.device)?);
        Ok(())
    }),
];

/// Reads each of several values and leaves out the unsupported ones; fails if all are unsupported.
fn each<T>(
    numbers: impl IntoIterator<Item = u32>,
    mut read: impl FnMut(u32) -> Result<T, NvmlError>,
) -> Result<Vec<(u32, T)>, NvmlError> {
    let mut values = Vec::new();
    let mut unsupported = None;
    for number in numbers {
        match read(number) {
            Ok(value) => values.push((number, value)),
            Err(error) if error.code.is_unsupported() => unsupported = Some(error),
            Err(error) => return Err(error),
        }
    }
    match unsupported {
        Some(error) if values.is_empty() => Err(error),
        _ => Ok(values),
    }
}

/// Reads a clock, in MHz, and replaces the one that `raw` has for the domain.
fn clock(device: &Device, domain: nvmlClockType_t, raw: &mut RawReading) -> Result<(), NvmlError> {
    let clock = get!(device, nvmlDeviceGetClockInfo, domain)?;
    raw.clocks.retain(|(known, _)| *known != domain);
    raw.clocks.push((domain, clock));
    Ok(())
}
