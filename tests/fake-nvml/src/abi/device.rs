//! Functions that return one value of a device.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::*;

#[cfg_attr(
    feature = "old-driver",
    expect(unused_imports, reason = "for functions of newer drivers")
)]
use super::{put, put_text, read, supported};
use crate::{code, state::Device, values};

/// Fails for a MIG instance, which does not support the function.
pub(super) fn whole(device: &Device) -> Result<(), nvmlReturn_t> {
    if device.instance.is_some() {
        Err(code::INVALID_ARGUMENT)
    } else {
        Ok(())
    }
}

fn without_mig(device: &Device) -> Result<(), nvmlReturn_t> {
    whole(device)?;
    supported(device.simulated().gpu.mig.is_empty())
}

/// Total, used and reserved, in bytes.
fn memory(device: &Device) -> (u64, u64, u64) {
    let traits = device.simulated().gpu.model.traits();
    match device.mig() {
        Some(instance) => (instance.memory << 20, (instance.memory << 20) / 10, 0),
        None => (
            traits.memory << 20,
            device.simulated().memory_used(),
            traits.reserved << 20,
        ),
    }
}

device! {
    nvmlDeviceGetIndex(device, index: *mut c_uint) { put(index, device.position as c_uint) }
    nvmlDeviceGetName(device, into: *mut c_char, length: c_uint) {
        let name = device.simulated().gpu.model.traits().name;
        match device.mig() {
            Some(instance) => put_text(into, length, &format!("{name} MIG {}", instance.profile)),
            None => put_text(into, length, name),
        }
    }
    nvmlDeviceGetUUID(device, into: *mut c_char, length: c_uint) {
        let seed = device.scenario.seed;
        let uuid = match device.instance {
            Some(instance) => values::mig_uuid(seed, device.position, instance),
            None => values::uuid(seed, device.position),
        };
        put_text(into, length, &uuid)
    }
    nvmlDeviceGetPciInfo_v3(device, into: *mut nvmlPciInfo_t) {
        let id = values::bus_id(device.position);
        let mut info = nvmlPciInfo_t {
            busIdLegacy: [0; 16],
            domain: 0,
            bus: 5 + 13 * device.position as u32,
            device: 0,
            pciDeviceId: 0x2330_10de,
            pciSubSystemId: 0x16c1_10de,
            busId: [0; 32],
        };
        for (to, byte) in info.busId.iter_mut().zip(id.bytes()) {
            *to = byte.cast_signed();
        }
        for (to, byte) in info.busIdLegacy.iter_mut().zip(id.bytes().skip(4)) {
            *to = byte.cast_signed();
        }
        put(into, info)
    }
    nvmlDeviceGetVbiosVersion(device, into: *mut c_char, length: c_uint) {
        whole(&device)?;
        put_text(into, length, &format!("96.00.5E.00.{:02}", device.position))
    }
    nvmlDeviceGetSerial(device, into: *mut c_char, length: c_uint) {
        whole(&device)?;
        put_text(into, length, &format!("165432100{:04}", device.position))
    }
    nvmlDeviceGetMinorNumber(device, minor: *mut c_uint) {
        whole(&device)?;
        put(minor, device.position as c_uint)
    }
    nvmlDeviceGetMemoryInfo(device, into: *mut nvmlMemory_t) {
        let (total, used, reserved) = memory(&device);
        put(into, nvmlMemory_t { total, free: total - used - reserved, used: used + reserved })
    }
    nvmlDeviceGetBAR1MemoryInfo(device, into: *mut nvmlBAR1Memory_t) {
        whole(&device)?;
        let total = device.simulated().gpu.model.traits().bar1 << 20;
        put(into, nvmlBAR1Memory_t { bar1Total: total, bar1Free: total - (2 << 20), bar1Used: 2 << 20 })
    }
    nvmlDeviceGetUtilizationRates(device, into: *mut nvmlUtilization_t) {
        without_mig(&device)?;
        let at = device.simulated();
        let answer = |value: u32| device.answer("nvmlDeviceGetUtilizationRates", value.into()) as u32;
        put(into, nvmlUtilization_t { gpu: answer(at.utilization()), memory: answer(at.memory_utilization()) })
    }
    nvmlDeviceGetEncoderUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        supported(device.simulated().gpu.model.traits().encoder)?;
        put(percent, 0)?;
        put(period, 167_000)
    }
    nvmlDeviceGetDecoderUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        put(percent, device.answer("nvmlDeviceGetDecoderUtilization", (device.simulated().utilization() / 10).into()) as u32)?;
        put(period, 167_000)
    }
    nvmlDeviceGetJpgUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        supported(device.simulated().gpu.model.traits().jpeg)?;
        put(percent, 0)?;
        put(period, 167_000)
    }
    nvmlDeviceGetOfaUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        supported(device.simulated().gpu.model.traits().jpeg)?;
        put(percent, 0)?;
        put(period, 167_000)
    }
    nvmlDeviceGetPowerUsage(device, milliwatts: *mut c_uint) {
        whole(&device)?;
        put(milliwatts, device.answer("nvmlDeviceGetPowerUsage", device.simulated().power().into()) as u32)
    }
    nvmlDeviceGetEnforcedPowerLimit(device, milliwatts: *mut c_uint) {
        whole(&device)?;
        put(milliwatts, device.answer("nvmlDeviceGetEnforcedPowerLimit", (device.simulated().gpu.model.traits().power * 1000).into()) as u32)
    }
    nvmlDeviceGetTotalEnergyConsumption(device, millijoules: *mut c_ulonglong) {
        whole(&device)?;
        put(millijoules, device.simulated().energy())
    }
    nvmlDeviceGetTemperature(device, sensor: nvmlTemperatureSensors_t, degrees: *mut c_uint) {
        whole(&device)?;
        supported(sensor == 0)?;
        put(degrees, device.answer("nvmlDeviceGetTemperature", device.simulated().temperature().into()) as u32)
    }
    nvmlDeviceGetTemperatureThreshold(device, which: nvmlTemperatureThresholds_t, degrees: *mut c_uint) {
        whole(&device)?;
        let limits = [92_u32, 89, 95, 87];
        let limit = *limits.get(which as usize).ok_or(code::INVALID_ARGUMENT)?;
        supported(which != 2 || device.simulated().gpu.model.traits().memory_temperature)?;
        put(degrees, device.answer("nvmlDeviceGetTemperatureThreshold", limit.into()) as u32)
    }
    nvmlDeviceGetGridLicensableFeatures_v4(device, into: *mut nvmlGridLicensableFeatures_t) {
        whole(&device)?;
        let license = device.simulated().gpu.license;
        // SAFETY: a structure of integers, for which zero is valid.
        let mut features: nvmlGridLicensableFeatures_t = unsafe { std::mem::zeroed() };
        features.isGridLicenseSupported = license.is_some().into();
        features.licensableFeaturesCount = license.is_some().into();
        features.gridLicensableFeatures[0].featureCode = nvmlGridLicenseFeatureCode_t_NVML_GRID_LICENSE_FEATURE_CODE_VGPU;
        features.gridLicensableFeatures[0].featureState = license.unwrap_or_default().into();
        put(into, features)
    }
    nvmlDeviceGetNumFans(device, count: *mut c_uint) {
        whole(&device)?;
        put(count, device.answer("nvmlDeviceGetNumFans", device.simulated().gpu.fans.len() as u64) as u32)
    }
    nvmlDeviceGetFanSpeed_v2(device, fan: c_uint, percent: *mut c_uint) {
        whole(&device)?;
        let fans = &device.simulated().gpu.fans;
        supported(!fans.is_empty())?;
        put(percent, *fans.get(fan as usize).ok_or(code::INVALID_ARGUMENT)?)
    }
    nvmlDeviceGetClockInfo(device, domain: nvmlClockType_t, megahertz: *mut c_uint) {
        whole(&device)?;
        let [_, memory, video] = device.simulated().gpu.model.traits().clocks;
        let now = match domain {
            0 | 1 => device.simulated().sm_clock(),
            2 => memory,
            3 => video,
            _ => return Err(code::INVALID_ARGUMENT),
        };
        put(megahertz, device.answer("nvmlDeviceGetClockInfo", now.into()) as u32)
    }
    nvmlDeviceGetMaxClockInfo(device, domain: nvmlClockType_t, megahertz: *mut c_uint) {
        whole(&device)?;
        let [sm, memory, video] = device.simulated().gpu.model.traits().clocks;
        put(megahertz, *[sm, sm, memory, video].get(domain as usize).ok_or(code::INVALID_ARGUMENT)?)
    }
    nvmlDeviceGetPerformanceState(device, state: *mut nvmlPstates_t) {
        whole(&device)?;
        put(state, if device.simulated().load() > 0.05 { 0 } else { 8 })
    }
    nvmlDeviceGetCurrentClocksThrottleReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        let idle = u64::from(device.simulated().load() == 0.0);
        put(reasons, device.simulated().gpu.reasons | idle)
    }
    nvmlDeviceGetSupportedClocksThrottleReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        put(reasons, values::REASONS)
    }
    nvmlDeviceGetCurrPcieLinkGeneration(device, generation: *mut c_uint) {
        whole(&device)?;
        put(generation, device.answer("nvmlDeviceGetCurrPcieLinkGeneration", device.simulated().gpu.model.traits().pcie.into()) as u32)
    }
    nvmlDeviceGetCurrPcieLinkWidth(device, lanes: *mut c_uint) {
        whole(&device)?;
        put(lanes, device.answer("nvmlDeviceGetCurrPcieLinkWidth", 16_u32.into()) as u32)
    }
    nvmlDeviceGetNvLinkState(device, link: c_uint, state: *mut nvmlEnableState_t) {
        whole(&device)?;
        let links = device.simulated().gpu.model.traits().links;
        supported(links > 0)?;
        if link >= links {
            return Err(code::INVALID_ARGUMENT);
        }
        let up = device.simulated().gpu.links.is_none_or(|count| link < count);
        put(state, device.answer("nvmlDeviceGetNvLinkState", up.into()) as u32)
    }
    nvmlDeviceGetPcieReplayCounter(device, count: *mut c_uint) {
        whole(&device)?;
        put(count, 0)
    }
    nvmlDeviceGetPcieThroughput(device, counter: nvmlPcieUtilCounter_t, kilobytes: *mut c_uint) {
        whole(&device)?;
        // NVML counts for as long.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let busiest = if counter == 0 { 8_000_000.0 } else { 4_000_000.0 };
        put(kilobytes, (device.simulated().load() * busiest) as c_uint)
    }
    nvmlDeviceGetCudaComputeCapability(device, major: *mut c_int, minor: *mut c_int) {
        whole(&device)?;
        put(major, 9)?;
        put(minor, 0)
    }
}

#[cfg(not(feature = "old-driver"))]
device! {
    nvmlDeviceGetMemoryInfo_v2(device, into: *mut nvmlMemory_v2_t) {
        let version = read(into)?.version;
        if version != 2 << 24 | size_of::<nvmlMemory_v2_t>() as u32 {
            return Err(code::VERSION_MISMATCH);
        }
        let (total, used, reserved) = memory(&device);
        let free = total - used - reserved;
        let used = device.answer("nvmlDeviceGetMemoryInfo_v2", used);
        put(into, nvmlMemory_v2_t { version, total, reserved, free, used })
    }
    nvmlDeviceGetMarginTemperature(device, into: *mut nvmlMarginTemperature_t) {
        whole(&device)?;
        supported(device.simulated().gpu.model.traits().margins)?;
        let version = read(into)?.version;
        if version != 1 << 24 | size_of::<nvmlMarginTemperature_t>() as u32 {
            return Err(code::VERSION_MISMATCH);
        }
        // Clocks are lowered from 87 °C on.
        let left = 87 - i64::from(device.simulated().temperature());
        let left = device.answer("nvmlDeviceGetMarginTemperature", left.cast_unsigned()) as i32;
        put(into, nvmlMarginTemperature_t { version, marginTemperature: left })
    }
    nvmlDeviceGetCurrentClocksEventReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        let idle = u64::from(device.simulated().load() == 0.0);
        put(reasons, device.simulated().gpu.reasons | idle)
    }
    nvmlDeviceGetSupportedClocksEventReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        put(reasons, values::REASONS)
    }
}
