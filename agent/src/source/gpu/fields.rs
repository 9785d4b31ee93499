//! The field values (`NVML_FI_*`) that are asked for, all with one call. A field that the device does not have is
//! asked for once and then no more.

use super::nvml::field_id::*;
use super::raw::{Code, Number};

/// What a field is, whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Memory errors: type and scope.
    Ecc(&'static str, &'static str),
    /// Pages taken out of use, by cause.
    RetiredPages(&'static str),
    /// Rows replaced, by cause.
    RemappedRows(&'static str),
    /// 0 or 1.
    RemapPending,
    /// 0 or 1.
    RemapFailure,
    /// Degrees Celsius.
    MemoryTemperature,
    /// Degrees Celsius of distance.
    TemperatureMargin(&'static str),
    /// Millijoules.
    Energy,
    /// Nanoseconds, by reason.
    Throttled(&'static str),
    /// Packets.
    PcieReplays,
    /// Bytes.
    PcieTransmit,
    /// Bytes.
    PcieReceive,
    /// `NVML_GPU_RECOVERY_ACTION_*`.
    RecoveryAction,
    /// Links.
    LinkCount,
    /// KiB of payload on a link.
    LinkTransmit,
    /// KiB of payload on a link.
    LinkReceive,
    /// Errors on a link, by type.
    LinkErrors(&'static str),
}

/// Those of the whole device.
pub(super) static DEVICE: &[(u32, Field)] = &[
    (
        NVML_FI_DEV_ECC_SBE_VOL_TOTAL,
        Field::Ecc("corrected", "volatile"),
    ),
    (
        NVML_FI_DEV_ECC_DBE_VOL_TOTAL,
        Field::Ecc("uncorrected", "volatile"),
    ),
    (
        NVML_FI_DEV_ECC_SBE_AGG_TOTAL,
        Field::Ecc("corrected", "aggregate"),
    ),
    (
        NVML_FI_DEV_ECC_DBE_AGG_TOTAL,
        Field::Ecc("uncorrected", "aggregate"),
    ),
    (NVML_FI_DEV_RETIRED_SBE, Field::RetiredPages("single_bit")),
    (NVML_FI_DEV_RETIRED_DBE, Field::RetiredPages("double_bit")),
    (NVML_FI_DEV_REMAPPED_COR, Field::RemappedRows("correctable")),
    (
        NVML_FI_DEV_REMAPPED_UNC,
        Field::RemappedRows("uncorrectable"),
    ),
    (NVML_FI_DEV_REMAPPED_PENDING, Field::RemapPending),
    (NVML_FI_DEV_REMAPPED_FAILURE, Field::RemapFailure),
    (NVML_FI_DEV_MEMORY_TEMP, Field::MemoryTemperature),
    (
        NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT,
        Field::TemperatureMargin("shutdown"),
    ),
    (
        NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT,
        Field::TemperatureMargin("slowdown"),
    ),
    (
        NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT,
        Field::TemperatureMargin("memory_max"),
    ),
    (
        NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT,
        Field::TemperatureMargin("gpu_max"),
    ),
    (NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, Field::Energy),
    (
        NVML_FI_DEV_PERF_POLICY_POWER,
        Field::Throttled("sw_power_cap"),
    ),
    (NVML_FI_DEV_PERF_POLICY_THERMAL, Field::Throttled("thermal")),
    (
        NVML_FI_DEV_PERF_POLICY_SYNC_BOOST,
        Field::Throttled("sync_boost"),
    ),
    (
        NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT,
        Field::Throttled("board_limit"),
    ),
    (
        NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION,
        Field::Throttled("low_utilization"),
    ),
    (
        NVML_FI_DEV_PERF_POLICY_RELIABILITY,
        Field::Throttled("reliability"),
    ),
    (
        NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN,
        Field::Throttled("sw_thermal_slowdown"),
    ),
    (
        NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN,
        Field::Throttled("hw_thermal_slowdown"),
    ),
    (
        NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN,
        Field::Throttled("hw_power_brake_slowdown"),
    ),
    (NVML_FI_DEV_PCIE_REPLAY_COUNTER, Field::PcieReplays),
    (NVML_FI_DEV_PCIE_COUNT_TX_BYTES, Field::PcieTransmit),
    (NVML_FI_DEV_PCIE_COUNT_RX_BYTES, Field::PcieReceive),
    (NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, Field::RecoveryAction),
];

/// Those of each link, with the link as their scope.
pub(super) static LINK: &[(u32, Field)] = &[
    (NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, Field::LinkTransmit),
    (NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, Field::LinkReceive),
    (
        NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY,
        Field::LinkErrors("replay"),
    ),
    (
        NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY,
        Field::LinkErrors("recovery"),
    ),
    (
        NVML_FI_DEV_NVLINK_ERROR_DL_CRC,
        Field::LinkErrors("crc_flit"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_MALFORMED_PACKET_ERRORS,
        Field::LinkErrors("malformed_packet"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_BUFFER_OVERRUN_ERRORS,
        Field::LinkErrors("buffer_overrun"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS,
        Field::LinkErrors("receive"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_RCV_REMOTE_ERRORS,
        Field::LinkErrors("receive_remote"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS,
        Field::LinkErrors("local_link_integrity"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS,
        Field::LinkErrors("link_recovery_failed"),
    ),
    (
        NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS,
        Field::LinkErrors("symbol"),
    ),
];

/// Before Hopper the error counters have an id for each link: those of links 0 to 5, of 6 to 11, and the type.
pub(super) static LINK_BEFORE_HOPPER: &[(u32, u32, Field)] = &[
    (
        NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L0,
        NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L6,
        Field::LinkErrors("replay"),
    ),
    (
        NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L0,
        NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L6,
        Field::LinkErrors("recovery"),
    ),
    (
        NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L0,
        NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L6,
        Field::LinkErrors("crc_flit"),
    ),
    (
        NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L0,
        NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L6,
        Field::LinkErrors("crc_data"),
    ),
    (
        NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L0,
        NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L6,
        Field::LinkErrors("ecc_data"),
    ),
];

/// Asks how many links the device has.
pub(super) const fn link_count() -> FieldValue {
    FieldValue::new(NVML_FI_DEV_NVLINK_LINK_COUNT, 0, Field::LinkCount, None)
}

/// The most links that are asked for (`NVML_NVLINK_MAX_LINKS`).
const LINKS_MOST: u32 = 18;

/// A field to ask for, what it means, and what it said at last.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldValue {
    /// `NVML_FI_*`.
    pub(super) id: u32,
    /// The link's number, else 0.
    pub(super) scope: u32,
    /// What it means.
    pub(super) field: Field,
    /// The link, also where the scope does not tell it.
    pub(super) link: Option<u32>,
    /// What it said; before that, that it is not there.
    pub(super) value: Result<Number, Code>,
}

impl FieldValue {
    const fn new(id: u32, scope: u32, field: Field, link: Option<u32>) -> Self {
        Self {
            id,
            scope,
            field,
            link,
            value: Err(Code::NOT_SUPPORTED),
        }
    }
}

/// Everything that can be asked of a device with so many links.
pub(super) fn requests(links: u32) -> Vec<FieldValue> {
    let device = DEVICE
        .iter()
        .map(|(id, field)| FieldValue::new(*id, 0, *field, None));
    let links = 0..links.min(LINKS_MOST);
    let scoped = links.clone().flat_map(|link| {
        LINK.iter()
            .map(move |(id, field)| FieldValue::new(*id, link, *field, Some(link)))
    });
    let by_id = links.filter(|link| *link < 12).flat_map(|link| {
        LINK_BEFORE_HOPPER.iter().map(move |(low, high, field)| {
            let id = if link < 6 {
                low + link
            } else {
                high + link - 6
            };
            FieldValue::new(id, 0, *field, Some(link))
        })
    });
    device.chain(scoped).chain(by_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_before_hopper_have_ids_of_their_own() {
        let of = |link| {
            requests(12)
                .into_iter()
                .filter(|request| request.link == Some(link) && request.scope == 0)
                .filter(|request| request.field == Field::LinkErrors("replay"))
                .map(|request| request.id)
                .collect::<Vec<_>>()
        };
        // NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L5, _L6 and _L11 in nvml.h.
        assert_eq!((of(5), of(6), of(11)), (vec![51], vec![108], vec![113]));
    }

    #[test]
    fn a_device_without_links_is_asked_for_none() {
        assert!(requests(0).iter().all(|request| request.link.is_none()));
        assert_eq!(requests(99).len(), requests(18).len());
    }
}
