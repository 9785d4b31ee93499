//! What a device tells with a call of its own.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::*;

#[cfg_attr(
    feature = "old-driver",
    expect(unused_imports, reason = "of what came later")
)]
use super::{put, put_text, read, supported};
use crate::{
    state::{Device, code},
    values,
};

/// A device, not an instance of MIG.
fn whole(device: &Device) -> Result<(), nvmlReturn_t> {
    if device.instance.is_some() {
        Err(code::INVALID_ARGUMENT)
    } else {
        Ok(())
    }
}

fn without_mig(device: &Device) -> Result<(), nvmlReturn_t> {
    whole(device)?;
    supported(device.at().gpu.mig.is_empty())
}

/// Total, used and reserved, in bytes.
fn memory(device: &Device) -> (u64, u64, u64) {
    let traits = device.at().gpu.model.traits();
    match device.mig() {
        Some(instance) => (instance.memory << 20, (instance.memory << 20) / 10, 0),
        None => (
            traits.memory << 20,
            device.at().memory_used(),
            traits.reserved << 20,
        ),
    }
}

device! {
    nvmlDeviceGetIndex(device, index: *mut c_uint) { put(index, device.place as c_uint) }
    nvmlDeviceGetName(device, into: *mut c_char, length: c_uint) {
        let name = device.at().gpu.model.traits().name;
        match device.mig() {
            Some(instance) => put_text(into, length, &format!("{name} MIG {}", instance.profile)),
            None => put_text(into, length, name),
        }
    }
    nvmlDeviceGetUUID(device, into: *mut c_char, length: c_uint) {
        let seed = device.scenario.seed;
        let uuid = match device.instance {
            Some(instance) => values::mig_uuid(seed, device.place, instance),
            None => values::uuid(seed, device.place),
        };
        put_text(into, length, &uuid)
    }
    nvmlDeviceGetPciInfo_v3(device, into: *mut nvmlPciInfo_t) {
        let id = values::bus_id(device.place);
        let mut info = nvmlPciInfo_t {
            busIdLegacy: [0; 16],
            domain: 0,
            bus: 5 + 13 * device.place as u32,
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
        put_text(into, length, &format!("96.00.5E.00.{:02}", device.place))
    }
    nvmlDeviceGetSerial(device, into: *mut c_char, length: c_uint) {
        whole(&device)?;
        put_text(into, length, &format!("165432100{:04}", device.place))
    }
    nvmlDeviceGetMinorNumber(device, minor: *mut c_uint) {
        whole(&device)?;
        put(minor, device.place as c_uint)
    }
    nvmlDeviceGetMemoryInfo(device, into: *mut nvmlMemory_t) {
        let (total, used, reserved) = memory(&device);
        put(into, nvmlMemory_t { total, free: total - used - reserved, used: used + reserved })
    }
    nvmlDeviceGetBAR1MemoryInfo(device, into: *mut nvmlBAR1Memory_t) {
        whole(&device)?;
        let total = device.at().gpu.model.traits().bar1 << 20;
        put(into, nvmlBAR1Memory_t { bar1Total: total, bar1Free: total - (2 << 20), bar1Used: 2 << 20 })
    }
    nvmlDeviceGetUtilizationRates(device, into: *mut nvmlUtilization_t) {
        without_mig(&device)?;
        let at = device.at();
        let says = |value: u32| device.says("nvmlDeviceGetUtilizationRates", value.into()) as u32;
        put(into, nvmlUtilization_t { gpu: says(at.utilization()), memory: says(at.memory_utilization()) })
    }
    nvmlDeviceGetEncoderUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        supported(device.at().gpu.model.traits().encoder)?;
        put(percent, 0)?;
        put(period, 167_000)
    }
    nvmlDeviceGetDecoderUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        put(percent, device.says("nvmlDeviceGetDecoderUtilization", (device.at().utilization() / 10).into()) as u32)?;
        put(period, 167_000)
    }
    nvmlDeviceGetJpgUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        supported(device.at().gpu.model.traits().jpeg)?;
        put(percent, 0)?;
        put(period, 167_000)
    }
    nvmlDeviceGetOfaUtilization(device, percent: *mut c_uint, period: *mut c_uint) {
        without_mig(&device)?;
        supported(device.at().gpu.model.traits().jpeg)?;
        put(percent, 0)?;
        put(period, 167_000)
    }
    nvmlDeviceGetPowerUsage(device, milliwatts: *mut c_uint) {
        whole(&device)?;
        put(milliwatts, device.says("nvmlDeviceGetPowerUsage", device.at().power().into()) as u32)
    }
    nvmlDeviceGetEnforcedPowerLimit(device, milliwatts: *mut c_uint) {
        whole(&device)?;
        put(milliwatts, device.says("nvmlDeviceGetEnforcedPowerLimit", (device.at().gpu.model.traits().power * 1000).into()) as u32)
    }
    nvmlDeviceGetTotalEnergyConsumption(device, millijoules: *mut c_ulonglong) {
        whole(&device)?;
        put(millijoules, device.at().energy())
    }
    nvmlDeviceGetTemperature(device, sensor: nvmlTemperatureSensors_t, degrees: *mut c_uint) {
        whole(&device)?;
        supported(sensor == 0)?;
        put(degrees, device.says("nvmlDeviceGetTemperature", device.at().temperature().into()) as u32)
    }
    nvmlDeviceGetTemperatureThreshold(device, which: nvmlTemperatureThresholds_t, degrees: *mut c_uint) {
        whole(&device)?;
        let limits = [92_u32, 89, 95, 87];
        let degrees_then = *limits.get(which as usize).ok_or(code::INVALID_ARGUMENT)?;
        supported(which != 2 || device.at().gpu.model.traits().memory_temperature)?;
        put(degrees, device.says("nvmlDeviceGetTemperatureThreshold", degrees_then.into()) as u32)
    }
    nvmlDeviceGetGridLicensableFeatures_v4(device, into: *mut nvmlGridLicensableFeatures_t) {
        whole(&device)?;
        let license = device.at().gpu.license;
        // SAFETY: a structure of integers, for which zero is a value.
        let mut told: nvmlGridLicensableFeatures_t = unsafe { std::mem::zeroed() };
        told.isGridLicenseSupported = license.is_some().into();
        told.licensableFeaturesCount = license.is_some().into();
        told.gridLicensableFeatures[0].featureCode = nvmlGridLicenseFeatureCode_t_NVML_GRID_LICENSE_FEATURE_CODE_VGPU;
        told.gridLicensableFeatures[0].featureState = license.unwrap_or_default().into();
        put(into, told)
    }
    nvmlDeviceGetNumFans(device, count: *mut c_uint) {
        whole(&device)?;
        put(count, device.says("nvmlDeviceGetNumFans", device.at().gpu.fans.len() as u64) as u32)
    }
    nvmlDeviceGetFanSpeed_v2(device, fan: c_uint, percent: *mut c_uint) {
        whole(&device)?;
        let fans = &device.at().gpu.fans;
        supported(!fans.is_empty())?;
        put(percent, *fans.get(fan as usize).ok_or(code::INVALID_ARGUMENT)?)
    }
    nvmlDeviceGetClockInfo(device, domain: nvmlClockType_t, megahertz: *mut c_uint) {
        whole(&device)?;
        let [_, memory, video] = device.at().gpu.model.traits().clocks;
        let now = match domain {
            0 | 1 => device.at().sm_clock(),
            2 => memory,
            3 => video,
            _ => return Err(code::INVALID_ARGUMENT),
        };
        put(megahertz, device.says("nvmlDeviceGetClockInfo", now.into()) as u32)
    }
    nvmlDeviceGetMaxClockInfo(device, domain: nvmlClockType_t, megahertz: *mut c_uint) {
        whole(&device)?;
        let [sm, memory, video] = device.at().gpu.model.traits().clocks;
        put(megahertz, *[sm, sm, memory, video].get(domain as usize).ok_or(code::INVALID_ARGUMENT)?)
    }
    nvmlDeviceGetPerformanceState(device, state: *mut nvmlPstates_t) {
        whole(&device)?;
        put(state, if device.at().load() > 0.05 { 0 } else { 8 })
    }
    nvmlDeviceGetCurrentClocksThrottleReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        let idle = u64::from(device.at().load() == 0.0);
        put(reasons, device.at().gpu.reasons | idle)
    }
    nvmlDeviceGetSupportedClocksThrottleReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        put(reasons, values::REASONS)
    }
    nvmlDeviceGetCurrPcieLinkGeneration(device, generation: *mut c_uint) {
        whole(&device)?;
        put(generation, device.says("nvmlDeviceGetCurrPcieLinkGeneration", device.at().gpu.model.traits().pcie.into()) as u32)
    }
    nvmlDeviceGetCurrPcieLinkWidth(device, lanes: *mut c_uint) {
        whole(&device)?;
        put(lanes, device.says("nvmlDeviceGetCurrPcieLinkWidth", 16_u32.into()) as u32)
    }
    nvmlDeviceGetNvLinkState(device, link: c_uint, state: *mut nvmlEnableState_t) {
        whole(&device)?;
        let links = device.at().gpu.model.traits().links;
        supported(links > 0)?;
        if link >= links {
            return Err(code::INVALID_ARGUMENT);
        }
        let up = device.at().gpu.links.is_none_or(|count| link < count);
        put(state, device.says("nvmlDeviceGetNvLinkState", up.into()) as u32)
    }
    nvmlDeviceGetMigMode(device, now: *mut c_uint, pending: *mut c_uint) {
        whole(&device)?;
        let gpu = device.at().gpu;
        supported(gpu.model.traits().mig)?;
        put(now, u32::from(!gpu.mig.is_empty()))?;
        put(pending, u32::from(!gpu.mig.is_empty()))
    }
    nvmlDeviceGetMaxMigDeviceCount(device, count: *mut c_uint) {
        whole(&device)?;
        let most = if device.at().gpu.model.traits().mig { 7 } else { 0 };
        put(count, device.says("nvmlDeviceGetMaxMigDeviceCount", most) as u32)
    }
    nvmlDeviceGetMigDeviceHandleByIndex(device, index: c_uint, into: *mut nvmlDevice_t) {
        whole(&device)?;
        if index as usize >= device.at().gpu.mig.len() {
            return Err(code::NOT_FOUND);
        }
        put(into, crate::state::lock().handle(device.place, Some(index as usize)))
    }
    nvmlDeviceGetGpuInstanceId(device, id: *mut c_uint) {
        put(id, device.mig().ok_or(code::NOT_SUPPORTED)?.gpu_instance)
    }
    nvmlDeviceGetComputeInstanceId(device, id: *mut c_uint) {
        put(id, device.mig().ok_or(code::NOT_SUPPORTED)?.compute_instance)
    }
    nvmlDeviceGetPcieReplayCounter(device, count: *mut c_uint) {
        whole(&device)?;
        put(count, 0)
    }
    nvmlDeviceGetPcieThroughput(device, counter: nvmlPcieUtilCounter_t, kilobytes: *mut c_uint) {
        whole(&device)?;
        // The real one counts for as long.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let busiest = if counter == 0 { 8_000_000.0 } else { 4_000_000.0 };
        put(kilobytes, (device.at().load() * busiest) as c_uint)
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
        let used = device.says("nvmlDeviceGetMemoryInfo_v2", used);
        put(into, nvmlMemory_v2_t { version, total, reserved, free, used })
    }
    nvmlDeviceGetMarginTemperature(device, into: *mut nvmlMarginTemperature_t) {
        whole(&device)?;
        supported(device.at().gpu.model.traits().margins)?;
        let version = read(into)?.version;
        if version != 1 << 24 | size_of::<nvmlMarginTemperature_t>() as u32 {
            return Err(code::VERSION_MISMATCH);
        }
        // Until 87, from where on it is slower.
        let left = 87 - i64::from(device.at().temperature());
        let left = device.says("nvmlDeviceGetMarginTemperature", left.cast_unsigned()) as i32;
        put(into, nvmlMarginTemperature_t { version, marginTemperature: left })
    }
    nvmlDeviceGetCurrentClocksEventReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        let idle = u64::from(device.at().load() == 0.0);
        put(reasons, device.at().gpu.reasons | idle)
    }
    nvmlDeviceGetSupportedClocksEventReasons(device, reasons: *mut c_ulonglong) {
        whole(&device)?;
        put(reasons, values::REASONS)
    }
}
