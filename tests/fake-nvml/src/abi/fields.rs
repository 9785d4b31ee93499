//! `nvmlDeviceGetFieldValues`.

use std::ffi::c_int;

use nvml_wrapper_sys::bindings::{field_id::*, *};

use super::{put, read};
use crate::{code, state::Device};

/// A value of the type that NVML returns.
enum Value {
    U32(u32),
    U64(u64),
    I32(i32),
}

#[allow(clippy::too_many_lines, reason = "one line for each field")]
fn simulated(device: &Device, id: u32, scope: u32) -> Option<Value> {
    use Value::{I32, U32, U64};
    let at = device.simulated();
    let gpu = at.gpu;
    let traits = gpu.model.traits();
    let link = (scope < gpu.links.unwrap_or(traits.links)).then_some(scope);
    let legacy_link = |first: u32, next: u32| {
        let link = if id >= next && id < next + 6 {
            id - next + 6
        } else {
            id.checked_sub(first)?
        };
        (link < traits.links && !traits.hopper).then_some(U64(0))
    };
    match id {
        NVML_FI_DEV_ECC_SBE_VOL_TOTAL => Some(U64(gpu.ecc[0])),
        NVML_FI_DEV_ECC_DBE_VOL_TOTAL => Some(U64(gpu.ecc[1])),
        NVML_FI_DEV_ECC_SBE_AGG_TOTAL => Some(U64(gpu.ecc[2])),
        NVML_FI_DEV_ECC_DBE_AGG_TOTAL => Some(U64(gpu.ecc[3])),
        NVML_FI_DEV_RETIRED_SBE | NVML_FI_DEV_RETIRED_DBE => (!traits.remaps).then_some(U64(0)),
        NVML_FI_DEV_REMAPPED_COR
        | NVML_FI_DEV_REMAPPED_UNC
        | NVML_FI_DEV_REMAPPED_PENDING
        | NVML_FI_DEV_REMAPPED_FAILURE => traits.remaps.then_some(U32(0)),
        NVML_FI_DEV_MEMORY_TEMP => traits.memory_temperature.then(|| U32(at.temperature() + 8)),
        NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT => traits.margins.then_some(I32(-8)),
        NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT => traits.margins.then_some(I32(-2)),
        NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT | NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT => {
            traits.margins.then_some(I32(0))
        }
        NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION => Some(U64(at.energy())),
        NVML_FI_DEV_PERF_POLICY_POWER => Some(U64(at.power_violation())),
        75..=79 => Some(U64(0)),
        NVML_FI_DEV_NVLINK_LINK_COUNT => Some(U32(gpu.links.unwrap_or(traits.links))),
        NVML_FI_DEV_PCIE_REPLAY_COUNTER => Some(U32(0)),
        NVML_FI_DEV_PCIE_COUNT_TX_BYTES if gpu.pcie_wraps => Some(U32(at.pcie_transmit() as u32)),
        NVML_FI_DEV_PCIE_COUNT_RX_BYTES if gpu.pcie_wraps => Some(U32(at.pcie_receive() as u32)),
        NVML_FI_DEV_PCIE_COUNT_TX_BYTES => traits.hopper.then(|| U64(at.pcie_transmit())),
        NVML_FI_DEV_PCIE_COUNT_RX_BYTES => traits.hopper.then(|| U64(at.pcie_receive())),
        NVML_FI_DEV_GET_GPU_RECOVERY_ACTION => traits.hopper.then_some(U32(0)),
        NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX => Some(U64(at.link_transmit(link?))),
        NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX => Some(U64(at.link_receive(link?))),
        NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY
        | NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY
        | NVML_FI_DEV_NVLINK_ERROR_DL_CRC => link.filter(|_| traits.hopper).map(|_| U64(0)),
        206..=211 | 213..=215 | 221 => link.filter(|_| traits.blackwell).map(|_| U64(0)),
        32..=37 | 96..=101 => legacy_link(32, 96),
        39..=44 | 102..=107 => legacy_link(39, 102),
        46..=51 | 108..=113 => legacy_link(46, 108),
        53..=58 | 114..=119 => legacy_link(53, 114),
        148..=159 => legacy_link(148, 154),
        // Renumbered with CUDA 13.0 Update 1, driver 580.82: there 251 to 253 are of power smoothing.
        269..=271 => is_renumbered(device).then_some(U64(0)),
        251..=253 => (!is_renumbered(device)).then_some(U64(0)),
        _ => None,
    }
}

/// The scenario's answer for the field, or else its simulated value.
fn answer(device: &Device, id: u32, scope: u32) -> Option<Value> {
    let value = simulated(device, id, scope)?;
    let answers = &device.simulated().gpu.field_answers;
    let concerns = |answer: &&crate::FieldAnswer| {
        answer.field == id && answer.scope.is_none_or(|link| link == scope)
    };
    let Some(answer) = answers.iter().find(concerns) else {
        return Some(value);
    };
    Some(match value {
        Value::U32(_) => Value::U32(answer.value as u32),
        Value::U64(_) => Value::U64(answer.value as u64),
        Value::I32(_) => Value::I32(answer.value as i32),
    })
}

/// Whether the driver has the field ids of CUDA 13.0 Update 1.
fn is_renumbered(device: &Device) -> bool {
    let mut parts = device
        .scenario
        .driver_version
        .split('.')
        .map(|part| part.parse().unwrap_or(0_u32));
    (parts.next(), parts.next()) >= (Some(580), Some(82))
}

device! {
    nvmlDeviceGetFieldValues(device, count: c_int, values: *mut nvmlFieldValue_t) {
        for at in 0..usize::try_from(count).map_err(|_| code::INVALID_ARGUMENT)? {
            let pointer = values.wrapping_add(at);
            let mut value = read(pointer)?;
            let failing = device.scenario.rules.iter().find(|rule| {
                rule.field == Some(value.fieldId) && (rule.gpu.is_none() || rule.gpu == Some(device.position))
            });
            value.nvmlReturn = match (failing, answer(&device, value.fieldId, value.scopeId)) {
                (Some(rule), _) => rule.code,
                (None, None) => code::NOT_SUPPORTED,
                (None, Some(answer)) => {
                    (value.valueType, value.value) = match answer {
                        Value::U32(number) => (nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT, nvmlValue_t { uiVal: number }),
                        Value::U64(number) => (nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, nvmlValue_t { ullVal: number }),
                        Value::I32(number) => (nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT, nvmlValue_t { siVal: number }),
                    };
                    0
                }
            };
            value.latencyUsec = 1;
            put(pointer, value)?;
        }
        Ok(())
    }
}
