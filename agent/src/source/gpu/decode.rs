//! From NVML's numbers and units to ours: pure, no input and no output.
//!
//! mW -> W, mJ -> J, KiB -> bytes, MHz -> Hz, ns -> s, percent -> ratio where the metric's name says so.

use std::sync::Arc;

use super::{
    fields::{Field, FieldValue},
    raw::{self, ConfCompute, Identity, Number, Raw, Versions},
};
use crate::sample::gpu::{
    Activity, Facts, Instance, Link, Memory, Named, Reading, System, VgpuLicense,
};

/// `nvmlClockType_t`.
const DOMAINS: [&str; 4] = ["graphics", "sm", "memory", "video"];

/// `nvmlTemperatureThresholds_t`.
const THRESHOLDS: [&str; 4] = ["shutdown", "slowdown", "memory_max", "gpu_max"];

/// `nvmlClocksEventReason*` (before driver 535: `nvmlClocksThrottleReason*`); that a GPU is idle is no throttling.
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

/// `nvmlGpmMetricId_t` of the pipes.
const PIPES: [(u32, &str); 7] = [
    (11, "fp64"),
    (12, "fp32"),
    (13, "fp16"),
    (4, "integer"),
    (6, "tensor_dfma"),
    (7, "tensor_hmma"),
    (9, "tensor_imma"),
];

/// What does not change.
pub(super) fn facts(identity: &Identity, versions: &Versions) -> Facts {
    Facts {
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

/// What holds for the machine.
pub(super) fn system(count: u32, versions: &Versions, told: ConfCompute) -> System {
    System {
        count,
        fake: versions.fake,
        cc_enabled: told.enabled,
        cc_ready: told.ready,
        cc_devtools: told.devtools,
        // 1: protected PCIe. 2: NVLink encryption, which is another way.
        cc_protected_pcie: told.multi_gpu.map(|mode| mode == 1),
        cc_environment: told.environment.and_then(|environment| {
            ["unavailable", "simulation", "production"]
                .get(environment as usize)
                .copied()
        }),
    }
}

/// One round.
pub(super) fn reading(raw: &Raw, fields: &[FieldValue], facts: &Arc<Facts>) -> Reading {
    let mut reading = Reading {
        facts: Arc::clone(facts),
        utilization: raw.utilization.map(|(gpu, _)| gpu.into()),
        memory_controller: raw.utilization.map(|(_, memory)| memory.into()),
        encoder: raw.encoder.map(Into::into),
        decoder: raw.decoder.map(Into::into),
        jpeg: raw.jpeg.map(Into::into),
        ofa: raw.ofa.map(Into::into),
        memory: raw.memory.map(memory),
        bar1_used: raw.bar1.map(|(used, _)| used),
        bar1_total: raw.bar1.map(|(_, total)| total),
        power: raw.power.map(milli),
        power_limit: raw.power_limit.map(milli),
        temperatures: raw
            .temperature
            .map(|degrees| ("gpu", degrees.into()))
            .into_iter()
            .collect(),
        temperature_limits: named(&raw.thresholds, &THRESHOLDS, f64::from),
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
        // A driver without the usage still tells the size.
        protected_total: raw
            .protected_used
            .map(|(_, total)| total)
            .or(raw.protected_size.map(kibibytes)),
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
    for field in fields {
        if let Ok(number) = field.value {
            add_field(&mut reading, field, number);
        }
    }
    reading.links.sort_by_key(|link| link.link);
    reading
}

fn add_field(reading: &mut Reading, field: &FieldValue, number: Number) {
    let count = number.whole();
    match field.field {
        Field::Ecc(kind, scope) => reading.ecc.extend(count.map(|count| (kind, scope, count))),
        Field::RetiredPages(cause) => reading.retired.extend(count.map(|count| (cause, count))),
        Field::RemappedRows(cause) => reading.remapped.extend(count.map(|count| (cause, count))),
        Field::RemapPending => reading.remap_pending = count,
        Field::RemapFailure => reading.remap_failure = count,
        // A memory that has no sensor reads 0 on some boards.
        Field::MemoryTemperature => {
            let degrees = Some(degrees(number)).filter(|degrees| *degrees != 0.0);
            reading
                .temperatures
                .extend(degrees.map(|degrees| ("memory", degrees)));
        }
        Field::TemperatureMargin(what) => reading.temperature_margins.push((what, degrees(number))),
        Field::Energy => reading.energy = Some(real(number) / 1e3),
        Field::Throttled(reason) => reading.throttle_seconds.push((reason, real(number) / 1e9)),
        Field::PcieReplays => reading.pcie.replays = count,
        Field::PcieTransmit => reading.pcie.transmit = count,
        Field::PcieReceive => reading.pcie.receive = count,
        Field::RecoveryAction => reading.recovery_action = count,
        Field::LinkCount => {}
        Field::LinkTransmit => link(reading, field).transmit = count.map(kibibytes),
        Field::LinkReceive => link(reading, field).receive = count.map(kibibytes),
        Field::LinkErrors(kind) => {
            let errors = &mut link(reading, field).errors;
            // Some devices answer to both the old and the new id.
            if !errors.iter().any(|(known, _)| *known == kind) {
                errors.extend(count.map(|count| (kind, count)));
            }
        }
    }
}

fn link<'a>(reading: &'a mut Reading, field: &FieldValue) -> &'a mut Link {
    let number = field.link.unwrap_or(field.scope);
    let links = &mut reading.links;
    let at = links
        .iter()
        .position(|link| link.link == number)
        .unwrap_or_else(|| {
            links.push(Link {
                link: number,
                ..Link::default()
            });
            links.len() - 1
        });
    &mut links[at]
}

fn memory(told: raw::Memory) -> Memory {
    Memory {
        used: Some(told.used),
        total: Some(told.total),
        free: Some(told.free),
        reserved: told.reserved,
    }
}

fn instance(told: &raw::Instance) -> Instance {
    Instance {
        gpu_instance: told.gpu_instance.to_string(),
        compute_instance: told.compute_instance.to_string(),
        profile: told.profile.clone(),
        uuid: told.uuid.clone(),
        memory: told.memory.map(memory),
        activity: activity(&told.gpm),
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

/// Every reason that the device can give. Where it does not say which, those that it gives now.
fn throttle(raw: &Raw) -> Vec<Named<bool>> {
    let Some(reasons) = raw.reasons else {
        return Vec::new();
    };
    let supported = raw.reasons_supported.unwrap_or(reasons);
    let has = REASONS.iter().filter(|(bit, _)| supported & bit != 0);
    has.map(|(bit, reason)| (*reason, reasons & bit != 0))
        .collect()
}

/// Values by number as values by name; a number that has no name here is of a later library.
fn named<V: Copy + Ord, T>(
    told: &[(u32, V)],
    names: &[&'static str],
    convert: impl Fn(V) -> T,
) -> Vec<Named<T>> {
    let mut told: Vec<_> = told.to_vec();
    told.sort_unstable();
    told.iter()
        .filter_map(|(which, value)| Some((*names.get(*which as usize)?, convert(*value))))
        .collect()
}

/// Degrees are signed, also where NVML's type for them is not.
fn degrees(number: Number) -> f64 {
    real(match number {
        Number::U32(value) => Number::I64(value.cast_signed().into()),
        Number::U64(value) => Number::I64(value.cast_signed()),
        signed => signed,
    })
}

fn milli(value: u32) -> f64 {
    f64::from(value) / 1e3
}

fn hertz(megahertz: u32) -> u64 {
    u64::from(megahertz) * 1_000_000
}

const fn kibibytes(count: u64) -> u64 {
    count.saturating_mul(1024)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 9e15: millijoules and nanoseconds of a hundred days"
)]
fn real(number: Number) -> f64 {
    match number {
        Number::U32(value) => value.into(),
        Number::U64(value) => value as f64,
        Number::I64(value) => value as f64,
        Number::F64(value) => value,
    }
}
