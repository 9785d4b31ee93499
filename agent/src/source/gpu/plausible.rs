//! Removes implausible values from a reading, by the valid ranges of the catalog: the one place that judges what NVML
//! returned.

mod check;

use crate::sample::gpu::{Activity, Memory, Reading, ValidRange};
use check::Check;
pub(super) use check::Implausible;

const FIELDS: &str = "nvmlDeviceGetFieldValues";
const MEMORY: &str = "nvmlDeviceGetMemoryInfo_v2";
const GPM: &str = "nvmlGpmMetricsGet";

/// Removes every implausible value, and returns what it removed.
pub(super) fn remove_implausible(
    reading: &mut Reading,
    range: &dyn Fn(&str) -> Option<ValidRange>,
) -> Vec<Implausible> {
    let mut check = Check::new(range);
    utilization_and_memory(&mut check, reading);
    power_and_clocks(&mut check, reading);
    links_and_errors(&mut check, reading);
    activity_and_processes(&mut check, reading);
    check.found
}

fn utilization_and_memory(check: &mut Check<'_>, it: &mut Reading) {
    let rates = "nvmlDeviceGetUtilizationRates";
    check.one(rates, "gpu_utilization_percent", &mut it.utilization);
    check.one(
        rates,
        "gpu_memory_controller_utilization_percent",
        &mut it.memory_controller,
    );
    for (call, metric, value) in [
        (
            "nvmlDeviceGetEncoderUtilization",
            "gpu_encoder_utilization_percent",
            &mut it.encoder,
        ),
        (
            "nvmlDeviceGetDecoderUtilization",
            "gpu_decoder_utilization_percent",
            &mut it.decoder,
        ),
        (
            "nvmlDeviceGetJpgUtilization",
            "gpu_jpeg_utilization_percent",
            &mut it.jpeg,
        ),
        (
            "nvmlDeviceGetOfaUtilization",
            "gpu_ofa_utilization_percent",
            &mut it.ofa,
        ),
    ] {
        check.one(call, metric, value);
    }
    if let Some(Memory {
        used,
        total,
        free,
        reserved,
    }) = &mut it.memory
    {
        check.one(MEMORY, "gpu_memory_used_bytes", used);
        check.one(MEMORY, "gpu_memory_total_bytes", total);
        check.one(MEMORY, "gpu_memory_free_bytes", free);
        check.one(MEMORY, "gpu_memory_reserved_bytes", reserved);
    }
    let bar1 = "nvmlDeviceGetBAR1MemoryInfo";
    check.one(bar1, "gpu_bar1_used_bytes", &mut it.bar1_used);
    check.one(bar1, "gpu_bar1_total_bytes", &mut it.bar1_total);
    let protected = "nvmlDeviceGetConfComputeProtectedMemoryUsage";
    check.one(
        protected,
        "gpu_cc_protected_memory_used_bytes",
        &mut it.protected_used,
    );
    check.one(
        protected,
        "gpu_cc_protected_memory_total_bytes",
        &mut it.protected_total,
    );
}

fn power_and_clocks(check: &mut Check<'_>, it: &mut Reading) {
    check.one("nvmlDeviceGetPowerUsage", "gpu_power_watts", &mut it.power);
    check.one(
        "nvmlDeviceGetEnforcedPowerLimit",
        "gpu_power_limit_watts",
        &mut it.power_limit,
    );
    check.one(FIELDS, "gpu_energy_joules_total", &mut it.energy);
    it.temperatures.retain(|(sensor, degrees)| {
        let call = match *sensor {
            "gpu" => "nvmlDeviceGetTemperature",
            _ => FIELDS,
        };
        check.is_plausible(call, "gpu_temperature_celsius", *degrees)
    });
    check.list(
        "nvmlDeviceGetTemperatureThreshold",
        "gpu_temperature_limit_celsius",
        &mut it.temperature_limits,
    );
    check.list(
        FIELDS,
        "gpu_temperature_margin_celsius",
        &mut it.temperature_margins,
    );
    check.one(
        "nvmlDeviceGetMarginTemperature",
        "gpu_temperature_current_margin_celsius",
        &mut it.temperature_margin,
    );
    // Some drivers return nonsense for fans that the device does not have.
    check.list(
        "nvmlDeviceGetFanSpeed_v2",
        "gpu_fan_speed_ratio",
        &mut it.fans,
    );
    check.list("nvmlDeviceGetClockInfo", "gpu_clock_hertz", &mut it.clocks);
    check.list(
        "nvmlDeviceGetMaxClockInfo",
        "gpu_clock_max_hertz",
        &mut it.clocks_max,
    );
    check.one(
        "nvmlDeviceGetPerformanceState",
        "gpu_performance_state",
        &mut it.performance_state,
    );
    check.list(
        FIELDS,
        "gpu_throttle_seconds_total",
        &mut it.throttle_seconds,
    );
}

fn links_and_errors(check: &mut Check<'_>, it: &mut Reading) {
    let pcie = &mut it.pcie;
    check.one(FIELDS, "gpu_pcie_bytes_total", &mut pcie.transmit);
    check.one(FIELDS, "gpu_pcie_bytes_total", &mut pcie.receive);
    check.one(FIELDS, "gpu_pcie_replays_total", &mut pcie.replays);
    check.one(
        "nvmlDeviceGetCurrPcieLinkGeneration",
        "gpu_pcie_link_generation",
        &mut pcie.generation,
    );
    check.one(
        "nvmlDeviceGetCurrPcieLinkWidth",
        "gpu_pcie_link_width",
        &mut pcie.width,
    );
    for link in &mut it.links {
        check.one("nvmlDeviceGetNvLinkState", "gpu_nvlink_up", &mut link.up);
        check.one(FIELDS, "gpu_nvlink_bytes_total", &mut link.transmit);
        check.one(FIELDS, "gpu_nvlink_bytes_total", &mut link.receive);
        check.list(FIELDS, "gpu_nvlink_errors_total", &mut link.errors);
    }
    it.ecc
        .retain(|(_, _, count)| check.is_plausible(FIELDS, "gpu_ecc_errors_total", *count));
    check.list(FIELDS, "gpu_retired_pages", &mut it.retired);
    check.list(FIELDS, "gpu_remapped_rows", &mut it.remapped);
    check.one(FIELDS, "gpu_row_remap_pending", &mut it.remap_pending);
    check.one(FIELDS, "gpu_row_remap_failure", &mut it.remap_failure);
    check.one(FIELDS, "gpu_recovery_action", &mut it.recovery_action);
}

fn activity_and_processes(check: &mut Check<'_>, it: &mut Reading) {
    let Activity {
        graphics,
        sm,
        occupancy,
        tensor,
        dram,
        pipes,
    } = &mut it.activity;
    check.one(GPM, "gpu_graphics_active_ratio", graphics);
    check.one(GPM, "gpu_sm_active_ratio", sm);
    check.one(GPM, "gpu_sm_occupancy_ratio", occupancy);
    check.one(GPM, "gpu_tensor_active_ratio", tensor);
    check.one(GPM, "gpu_dram_active_ratio", dram);
    check.list::<_, f64>(GPM, "gpu_pipe_active_ratio", pipes);
    for instance in &mut it.instances {
        if let Some(memory) = &mut instance.memory {
            check.one(MEMORY, "gpu_mig_memory_used_bytes", &mut memory.used);
            check.one(MEMORY, "gpu_mig_memory_total_bytes", &mut memory.total);
        }
        let activity = &mut instance.activity;
        check.one(GPM, "gpu_mig_graphics_active_ratio", &mut activity.graphics);
        check.one(GPM, "gpu_mig_sm_active_ratio", &mut activity.sm);
        check.one(GPM, "gpu_mig_sm_occupancy_ratio", &mut activity.occupancy);
        check.one(GPM, "gpu_mig_tensor_active_ratio", &mut activity.tensor);
        check.one(GPM, "gpu_mig_dram_active_ratio", &mut activity.dram);
    }
    for process in &mut it.processes {
        check.one(
            "nvmlDeviceGetComputeRunningProcesses_v3",
            "gpu_process_memory_bytes",
            &mut process.memory,
        );
        check.one(
            "nvmlDeviceGetProcessUtilization",
            "gpu_process_sm_utilization_percent",
            &mut process.sm,
        );
    }
}

#[cfg(test)]
mod tests;
