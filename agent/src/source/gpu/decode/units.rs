//! Conversions from NVML's units and types.

use crate::source::gpu::raw::Number;

/// Degrees Celsius, which NVML returns as signed numbers also in unsigned types.
pub(super) fn celsius(number: Number) -> f64 {
    real(match number {
        Number::U32(value) => Number::I64(value.cast_signed().into()),
        Number::U64(value) => Number::I64(value.cast_signed()),
        signed => signed,
    })
}

/// Milliwatts to watts.
pub(super) fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1e3
}

/// MHz to Hz.
pub(super) fn hertz(megahertz: u32) -> u64 {
    u64::from(megahertz) * 1_000_000
}

/// KiB to bytes.
pub(super) const fn bytes(kibibytes: u64) -> u64 {
    kibibytes.saturating_mul(1024)
}

/// A number as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 9e15: millijoules and nanoseconds of a hundred days"
)]
pub(super) fn real(number: Number) -> f64 {
    match number {
        Number::U32(value) => value.into(),
        Number::U64(value) => value as f64,
        Number::I64(value) => value as f64,
        Number::F64(value) => value,
    }
}
