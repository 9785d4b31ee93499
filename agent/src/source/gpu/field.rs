//! A field value (`nvmlFieldValue_t`): a request and its answer.

use super::{error::NvmlReturn, raw::Number};

/// What a field measures, whatever its number in NVML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// ECC errors, by type and scope.
    Ecc(&'static str, &'static str),
    /// Retired memory pages, by cause.
    RetiredPages(&'static str),
    /// Remapped memory rows, by cause.
    RemappedRows(&'static str),
    /// 1 if a row remap waits for the next reset.
    RemapPending,
    /// 1 if a row could not be remapped.
    RemapFailure,
    /// Degrees Celsius, by sensor.
    Temperature(&'static str),
    /// Degrees Celsius relative to the slowdown point, by limit.
    TemperatureMargin(&'static str),
    /// Millijoules.
    Energy,
    /// Nanoseconds of lowered clocks, by reason.
    Throttled(&'static str),
    /// PCIe replays.
    PcieReplays,
    /// Bytes sent over PCIe.
    PcieTransmit,
    /// Bytes received over PCIe.
    PcieReceive,
    /// `NVML_GPU_RECOVERY_ACTION_*`.
    RecoveryAction,
    /// Number of NVLinks.
    LinkCount,
    /// KiB of payload sent over a link.
    LinkTransmit,
    /// KiB of payload received over a link.
    LinkReceive,
    /// Errors of a link, by type.
    LinkErrors(&'static str),
}

impl Field {
    /// Whether the value only grows.
    pub(super) const fn is_counter(self) -> bool {
        matches!(
            self,
            Self::Ecc(..)
                | Self::Energy
                | Self::Throttled(_)
                | Self::PcieReplays
                | Self::PcieTransmit
                | Self::PcieReceive
                | Self::LinkTransmit
                | Self::LinkReceive
                | Self::LinkErrors(_)
        )
    }
}

/// A field to read, and its last answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldValue {
    /// `NVML_FI_*`.
    pub(super) id: u32,
    /// The link for fields of a link, otherwise 0.
    pub(super) scope: u32,
    /// What the field measures.
    pub(super) field: Field,
    /// The link, also for fields whose id names it instead of the scope.
    pub(super) link: Option<u32>,
    /// The last answer; `NOT_SUPPORTED` before the first.
    pub(super) value: Result<Number, NvmlReturn>,
}

impl FieldValue {
    /// A request that has no answer yet.
    pub(super) const fn new(id: u32, scope: u32, field: Field, link: Option<u32>) -> Self {
        Self {
            id,
            scope,
            field,
            link,
            value: Err(NvmlReturn::NOT_SUPPORTED),
        }
    }
}
