//! The ids (`NVML_FI_*`) of the fields that the agent reads.

use nvml_wrapper_sys::bindings::field_id::*;

use super::field::Field;

/// A table with one line for each field: the id, or the ids, and what the field measures.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident: $type:ty; $($($id:ident),+ => $field:ident $(($($label:literal),+))?;)*) => {
        $(#[$doc])*
        pub(super) static $name: &[$type] = &[$(($($id),+, Field::$field $(($($label),+))?)),*];
    };
}

table! {
    /// Fields of the whole device.
    DEVICE: (u32, Field);
    NVML_FI_DEV_ECC_SBE_VOL_TOTAL => Ecc("corrected", "volatile");
    NVML_FI_DEV_ECC_DBE_VOL_TOTAL => Ecc("uncorrected", "volatile");
    NVML_FI_DEV_ECC_SBE_AGG_TOTAL => Ecc("corrected", "aggregate");
    NVML_FI_DEV_ECC_DBE_AGG_TOTAL => Ecc("uncorrected", "aggregate");
    NVML_FI_DEV_RETIRED_SBE => RetiredPages("single_bit");
    NVML_FI_DEV_RETIRED_DBE => RetiredPages("double_bit");
    NVML_FI_DEV_REMAPPED_COR => RemappedRows("correctable");
    NVML_FI_DEV_REMAPPED_UNC => RemappedRows("uncorrectable");
    NVML_FI_DEV_REMAPPED_PENDING => RemapPending;
    NVML_FI_DEV_REMAPPED_FAILURE => RemapFailure;
    NVML_FI_DEV_MEMORY_TEMP => Temperature("memory");
    NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT => TemperatureMargin("shutdown");
    NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT => TemperatureMargin("slowdown");
    NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT => TemperatureMargin("memory_max");
    NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT => TemperatureMargin("gpu_max");
    NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION => Energy;
    NVML_FI_DEV_PERF_POLICY_POWER => Throttled("sw_power_cap");
    NVML_FI_DEV_PERF_POLICY_THERMAL => Throttled("thermal");
    NVML_FI_DEV_PERF_POLICY_SYNC_BOOST => Throttled("sync_boost");
    NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT => Throttled("board_limit");
    NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION => Throttled("low_utilization");
    NVML_FI_DEV_PERF_POLICY_RELIABILITY => Throttled("reliability");
    NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN => Throttled("sw_thermal_slowdown");
    NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN => Throttled("hw_thermal_slowdown");
    NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN => Throttled("hw_power_brake_slowdown");
    NVML_FI_DEV_PCIE_REPLAY_COUNTER => PcieReplays;
    NVML_FI_DEV_PCIE_COUNT_TX_BYTES => PcieTransmit;
    NVML_FI_DEV_PCIE_COUNT_RX_BYTES => PcieReceive;
    NVML_FI_DEV_GET_GPU_RECOVERY_ACTION => RecoveryAction;
}

table! {
    /// Fields of each link, with the link as the scope.
    LINK: (u32, Field);
    NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX => LinkTransmit;
    NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX => LinkReceive;
    NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY => LinkErrors("replay");
    NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY => LinkErrors("recovery");
    NVML_FI_DEV_NVLINK_ERROR_DL_CRC => LinkErrors("crc_flit");
    NVML_FI_DEV_NVLINK_COUNT_MALFORMED_PACKET_ERRORS => LinkErrors("malformed_packet");
    NVML_FI_DEV_NVLINK_COUNT_BUFFER_OVERRUN_ERRORS => LinkErrors("buffer_overrun");
    NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS => LinkErrors("receive");
    NVML_FI_DEV_NVLINK_COUNT_RCV_REMOTE_ERRORS => LinkErrors("receive_remote");
    NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS => LinkErrors("local_link_integrity");
    NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS => LinkErrors("link_recovery_failed");
    NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS => LinkErrors("symbol");
}

table! {
    /// Before Hopper each link has its own ids for error counters: the first id of links 0 to 5, and of links 6 to 11.
    LINK_BEFORE_HOPPER: (u32, u32, Field);
    NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L0, NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L6 => LinkErrors("replay");
    NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L0, NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L6 => LinkErrors("recovery");
    NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L0, NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L6 => LinkErrors("crc_flit");
    NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L0, NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L6 => LinkErrors("crc_data");
    NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L0, NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L6 => LinkErrors("ecc_data");
}
