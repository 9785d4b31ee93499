//! Reads field values.

use nvml_wrapper::FieldIdScheme;
use nvml_wrapper_sys::bindings::*;

use super::ffi::Device;
use crate::source::gpu::{
    error::{NvmlError, NvmlReturn},
    field::FieldValue,
    raw::Number,
};

/// Reads all fields with one call. A field's own failure is its value.
pub(super) fn read(device: &Device, fields: &mut [FieldValue]) -> Result<(), NvmlError> {
    let renumbered = device.nvml.field_id_scheme() == FieldIdScheme::V13Update1;
    let request = |field: &FieldValue| nvmlFieldValue_t {
        fieldId: library_id(field.id, renumbered),
        scopeId: field.scope,
        timestamp: 0,
        latencyUsec: 0,
        valueType: 0,
        nvmlReturn: 0,
        value: nvmlValue_t { ullVal: 0 },
    };
    let mut values: Vec<nvmlFieldValue_t> = fields.iter().map(request).collect();
    let count = i32::try_from(values.len()).unwrap_or(i32::MAX);
    nvml!(
        device.nvml,
        nvmlDeviceGetFieldValues(device.handle, count, values.as_mut_ptr())
    )?;
    for (field, value) in fields.iter_mut().zip(&values) {
        field.value = match value.nvmlReturn {
            nvmlReturn_enum_NVML_SUCCESS => number(value),
            code => Err(NvmlReturn(code)),
        };
    }
    Ok(())
}

/// A field's id in the library. CUDA 13.0 Update 1 renumbered the ids from 251 on; the bindings have the earlier ones.
const fn library_id(id: u32, renumbered: bool) -> u32 {
    match id {
        251..=255 if renumbered => id + 18,
        256..=273 if renumbered => id - 5,
        id => id,
    }
}

fn number(value: &nvmlFieldValue_t) -> Result<Number, NvmlReturn> {
    let union = value.value;
    // SAFETY: every member of the union is a number for which any bit pattern is valid, and the union was initialised.
    let number = unsafe {
        match value.valueType {
            nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE => Number::F64(union.dVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => Number::U32(union.uiVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG => Number::U64(union.ulVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => Number::U64(union.ullVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => Number::I64(union.sllVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT => Number::I64(union.siVal.into()),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT => Number::U32(union.usVal.into()),
            // A type that a newer library added.
            _ => return Err(NvmlReturn::NOT_SUPPORTED),
        }
    };
    Ok(number)
}
