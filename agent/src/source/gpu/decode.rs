//! Converts NVML's answers to samples in base units: mW to W, mJ to J, KiB to bytes, MHz to Hz, ns to s, percent to a
//! ratio where the metric is one. Pure functions.

mod field_values;
mod units;

use std::sync::Arc;

use super::{
    field::FieldValue,
    raw::{self, ConfCompute, Identity, Number, RawReading, Versions},
};
use crate::sample::gpu::{
    Activity, GpuInfo, Instance, Link, Memory, Named, Reading, System, VgpuLicense,
};
use field_values::{add_fields, add_temperature};
use units::{bytes, celsius, hertz, watts};

/// The names of `nvmlClockType_t`, by number.
const DOMAINS: [&str; 4] = ["graphics", "sm", "memory", "video"];

/// The names of `nvmlTemperatureThresholds_t`, by number.
const THRESHOLDS: [&str; 4] = ["shutdown", "slowdown", "memory_max", "gpu_max"];

/// `nvmlClocksEventReason*` (`nvmlClocksThrottleReason*` before driver 535), without the idle bit, which is no throttling.
const REASONS: [(u64, &str); 8] = [
    (0x002, "applications_clocks_setting"),
    (0x004, "sw_power_cap"),
    (0x008, "hw_slowdown"),
    (0x010, "sync_boost"),
    (0x020, "sw_thermal_slowdown"),
    (0x040, "hw_thermal_slowdown"),
    (0x080, "hw_power_brake_slowdown"),
    (0x100, "display_clock_setting"),
];

/// The pipes, by `nvmlGpmMetricId_t`.
const PIPES: [(u32, &str); 7] = [
    (11, "fp64"),
    (12, "fp32"),
    (13, "fp16"),
    (4, "integer"),
    (6, "tensor_dfma"),
    (7, "tensor_hmma"),
    (9, "tensor_imma"),
];

/// The constant properties of a GPU.
pub(super) fn info(identity: &Identity, versions: &Versions) -> GpuInfo {
    GpuInfo {
        uuid: identity.uuid.clone(),
        model: identity.name.clone(),
        pci_bus_id: identity.bus_id.clone(),
        vbios: identity.vbios.clone().unwrap_or_default(),
        device: identity
            .minor
            .map(|minor| format!("nvidia{minor}"))
            .unwrap_or_default(),
        driver_version: versions.driver.clone().unwrap_or_default(),
        cuda_version: versions.cuda.clone().unwrap_or_default(),
    }
}

/// The state of the machine.
pub(super) fn system(count: u32, versions: &Versions, conf_compute: ConfCompute) -> System {
    System {
        count,
        fake: versions.fake,
        cc_enabled: conf_compute.enabled,
        cc_ready: conf_compute.ready,
        cc_devtools: conf_compute.devtools,
        // 1 is protected PCIe; 2 is NVLink encryption.
        cc_protected_pcie: conf_compute.multi_gpu.map(|mode| mode == 1),
        cc_environment: conf_compute.environment.and_then(|environment| {
            ["unavailable", "simulation", "production"]
                .get(environment as usize)
                .copied()
        }),
    }
}

/// The reading of one round.
pub(super) fn reading(raw: &RawReading, fields: &[FieldValue], info: &Arc<GpuInfo>) -> Reading {
    let mut reading = Reading {
        info: Arc::clone(info),
        utilization: raw.utilization.map(|(gpu, _)| gpu.into()),
        memory_controller: raw.utilization.map(|(_, memory)| memory.into()),
        encoder: raw.encoder.map(Into::into),
        decoder: raw.decoder.map(Into::into),
        jpeg: raw.jpeg.map(Into::into),
        ofa: raw.ofa.map(Into::into),
        memory: raw.memory.map(memory),
        bar1_used: raw.bar1.map(|(used, _)| used),
        bar1_total: raw.bar1.map(|(_, total)| total),
        power: raw.power.map(watts),
        power_limit: raw.power_limit.map(watts),
        temperature_limits: named(&raw.thresholds, &THRESHOLDS, |value| {
            celsius(Number::U32(value))
        }),
        temperature_margin: raw.temperature_margin.map(Into::into),
        fans: raw
            .fans
            .iter()
            .map(|(fan, percent)| (*fan, f64::from(*percent) / 100.0))
            .collect(),
        clocks: named(&raw.clocks, &DOMAINS, hertz),
        clocks_max: named(&raw.clocks_max, &DOMAINS, hertz),
        performance_state: raw.performance_state.map(Into::into),
        throttle: throttle(raw),
        activity: activity(&raw.gpm),
        protected_used: raw.protected_used.map(|(used, _)| used),
        // A driver without the usage still states the size.
        protected_total: raw
            .protected_used
            .map(|(_, total)| total)
            .or(raw.protected_size.map(bytes)),
        vgpu_license: raw.license.map(|license| match license {
            (false, _) => VgpuLicense::NotNeeded,
            (true, false) => VgpuLicense::Missing,
            (true, true) => VgpuLicense::Licensed,
        }),
        instances: raw.instances.iter().flatten().map(instance).collect(),
        links: raw
            .links
            .iter()
            .map(|(link, up)| Link {
                link: *link,
                up: Some((*up).into()),
                ..Link::default()
            })
            .collect(),
        ..Reading::default()
    };
    reading.pcie.generation = raw.pcie_generation.map(Into::into);
    reading.pcie.width = raw.pcie_width.map(Into::into);
    if let Some(value) = raw.temperature {
        add_temperature(&mut reading, "gpu", Number::U32(value));
    }
    add_fields(&mut reading, fields);
    reading.links.sort_by_key(|link| link.link);
    reading
}

fn memory(memory: raw::Memory) -> Memory {
    Memory {
        used: Some(memory.used),
        total: Some(memory.total),
        free: Some(memory.free),
        reserved: memory.reserved,
    }
}

fn instance(instance: &raw::Instance) -> Instance {
    Instance {
        gpu_instance: instance.gpu_instance.to_string(),
        compute_instance: instance.compute_instance.to_string(),
        profile: instance.profile.clone(),
        uuid: instance.uuid.clone(),
        memory: instance.memory.map(memory),
        activity: activity(&instance.gpm),
    }
}

fn activity(gpm: &[(u32, f64)]) -> Activity {
    let of = |id| {
        gpm.iter()
            .find(|(known, _)| *known == id)
            .map(|(_, percent)| percent / 100.0)
    };
    Activity {
        graphics: of(1),
        sm: of(2),
        occupancy: of(3),
        tensor: of(5),
        dram: of(10),
        pipes: PIPES
            .iter()
            .filter_map(|(id, pipe)| Some((*pipe, of(*id)?)))
            .collect(),
    }
}

/// Every reason that the device supports and whether it is active; if it does not state which it supports, the active ones.
fn throttle(raw: &RawReading) -> Vec<Named<bool>> {
    let Some(reasons) = raw.reasons else {
        return Vec::new();
    };
    let supported = raw.reasons_supported.unwrap_or(reasons);
    let known = REASONS.iter().filter(|(bit, _)| supported & bit != 0);
    known
        .map(|(bit, reason)| (*reason, reasons & bit != 0))
        .collect()
}

/// Values by name instead of number. Numbers of a newer library have no name and are dropped.
fn named<V: Copy + Ord, T>(
    values: &[(u32, V)],
    names: &[&'static str],
    convert: impl Fn(V) -> T,
) -> Vec<Named<T>> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
        .iter()
        .filter_map(|(number, value)| Some((*names.get(*number as usize)?, convert(*value))))
        .collect()
}
