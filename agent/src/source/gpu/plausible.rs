//! Takes out of a reading what cannot be, by the ranges of the catalog: the one place where figures are judged, between
//! what `decode` makes of NVML's answers and the sample.

use std::collections::BTreeSet;

use crate::sample::gpu::{Activity, Memory, Range, Reading};

/// A figure that cannot be, of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Implausible {
    /// What NVML was asked with.
    pub(super) call: &'static str,
    /// The metric that it would have been.
    pub(super) metric: &'static str,
    /// The figure, in the metric's unit.
    pub(super) value: f64,
}

/// The metrics that had such figures in the round before.
pub(super) type Known = BTreeSet<&'static str>;

/// Takes what cannot be out of a reading, and tells of each such figure.
pub(super) fn check(
    reading: &mut Reading,
    range: &dyn Fn(&str) -> Option<Range>,
) -> Vec<Implausible> {
    let mut check = Check {
        range,
        found: Vec::new(),
    };
    check.load(reading);
    check.power(reading);
    check.lines(reading);
    check.parts(reading);
    check.found
}

/// A figure as a number.
trait Figure: Copy {
    fn real(self) -> f64;
}

impl Figure for u64 {
    #[expect(clippy::cast_precision_loss, reason = "far from the ends of a range")]
    fn real(self) -> f64 {
        self as f64
    }
}

impl Figure for f64 {
    fn real(self) -> f64 {
        self
    }
}

struct Check<'a> {
    range: &'a dyn Fn(&str) -> Option<Range>,
    found: Vec<Implausible>,
}

const FIELDS: &str = "nvmlDeviceGetFieldValues";
const MEMORY: &str = "nvmlDeviceGetMemoryInfo_v2";
const GPM: &str = "nvmlGpmMetricsGet";

impl Check<'_> {
    fn can_be(&mut self, call: &'static str, metric: &'static str, value: f64) -> bool {
        let can_be = (self.range)(metric).is_none_or(|range| range.contains(value));
        if !can_be {
            self.found.push(Implausible {
                call,
                metric,
                value,
            });
        }
        can_be
    }

    fn one<T: Figure>(&mut self, call: &'static str, metric: &'static str, value: &mut Option<T>) {
        *value = value.filter(|value| self.can_be(call, metric, value.real()));
    }

    fn list<K, T: Figure>(
        &mut self,
        call: &'static str,
        metric: &'static str,
        values: &mut Vec<(K, T)>,
    ) {
        values.retain(|(_, value)| self.can_be(call, metric, value.real()));
    }

    fn load(&mut self, it: &mut Reading) {
        let rates = "nvmlDeviceGetUtilizationRates";
        self.one(rates, "gpu_utilization_percent", &mut it.utilization);
        self.one(
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
            self.one(call, metric, value);
        }
        if let Some(Memory {
            used,
            total,
            free,
            reserved,
        }) = &mut it.memory
        {
            self.one(MEMORY, "gpu_memory_used_bytes", used);
            self.one(MEMORY, "gpu_memory_total_bytes", total);
            self.one(MEMORY, "gpu_memory_free_bytes", free);
            self.one(MEMORY, "gpu_memory_reserved_bytes", reserved);
        }
        let bar1 = "nvmlDeviceGetBAR1MemoryInfo";
        self.one(bar1, "gpu_bar1_used_bytes", &mut it.bar1_used);
        self.one(bar1, "gpu_bar1_total_bytes", &mut it.bar1_total);
        let protected = "nvmlDeviceGetConfComputeProtectedMemoryUsage";
        self.one(
            protected,
            "gpu_cc_protected_memory_used_bytes",
            &mut it.protected_used,
        );
        self.one(
            protected,
            "gpu_cc_protected_memory_total_bytes",
            &mut it.protected_total,
        );
    }

    fn power(&mut self, it: &mut Reading) {
        self.one("nvmlDeviceGetPowerUsage", "gpu_power_watts", &mut it.power);
        self.one(
            "nvmlDeviceGetEnforcedPowerLimit",
            "gpu_power_limit_watts",
            &mut it.power_limit,
        );
        self.one(FIELDS, "gpu_energy_joules_total", &mut it.energy);
        it.temperatures.retain(|(sensor, degrees)| {
            let call = match *sensor {
                "gpu" => "nvmlDeviceGetTemperature",
                _ => FIELDS,
            };
            self.can_be(call, "gpu_temperature_celsius", *degrees)
        });
        self.list(
            "nvmlDeviceGetTemperatureThreshold",
            "gpu_temperature_limit_celsius",
            &mut it.temperature_limits,
        );
        self.list(
            FIELDS,
            "gpu_temperature_margin_celsius",
            &mut it.temperature_margins,
        );
        self.one(
            "nvmlDeviceGetMarginTemperature",
            "gpu_temperature_current_margin_celsius",
            &mut it.temperature_margin,
        );
        // Some drivers answer for fans that are not the device's own with nonsense.
        self.list(
            "nvmlDeviceGetFanSpeed_v2",
            "gpu_fan_speed_ratio",
            &mut it.fans,
        );
        self.list("nvmlDeviceGetClockInfo", "gpu_clock_hertz", &mut it.clocks);
        self.list(
            "nvmlDeviceGetMaxClockInfo",
            "gpu_clock_max_hertz",
            &mut it.clocks_max,
        );
        self.one(
            "nvmlDeviceGetPerformanceState",
            "gpu_performance_state",
            &mut it.performance_state,
        );
        self.list(
            FIELDS,
            "gpu_throttle_seconds_total",
            &mut it.throttle_seconds,
        );
    }

    fn lines(&mut self, it: &mut Reading) {
        let pcie = &mut it.pcie;
        self.one(FIELDS, "gpu_pcie_bytes_total", &mut pcie.transmit);
        self.one(FIELDS, "gpu_pcie_bytes_total", &mut pcie.receive);
        self.one(FIELDS, "gpu_pcie_replays_total", &mut pcie.replays);
        self.one(
            "nvmlDeviceGetCurrPcieLinkGeneration",
            "gpu_pcie_link_generation",
            &mut pcie.generation,
        );
        self.one(
            "nvmlDeviceGetCurrPcieLinkWidth",
            "gpu_pcie_link_width",
            &mut pcie.width,
        );
        for link in &mut it.links {
            self.one("nvmlDeviceGetNvLinkState", "gpu_nvlink_up", &mut link.up);
            self.one(FIELDS, "gpu_nvlink_bytes_total", &mut link.transmit);
            self.one(FIELDS, "gpu_nvlink_bytes_total", &mut link.receive);
            self.list(FIELDS, "gpu_nvlink_errors_total", &mut link.errors);
        }
        it.ecc
            .retain(|(_, _, count)| self.can_be(FIELDS, "gpu_ecc_errors_total", count.real()));
        self.list(FIELDS, "gpu_retired_pages", &mut it.retired);
        self.list(FIELDS, "gpu_remapped_rows", &mut it.remapped);
        self.one(FIELDS, "gpu_row_remap_pending", &mut it.remap_pending);
        self.one(FIELDS, "gpu_row_remap_failure", &mut it.remap_failure);
        self.one(FIELDS, "gpu_recovery_action", &mut it.recovery_action);
    }

    fn parts(&mut self, it: &mut Reading) {
        let Activity {
            graphics,
            sm,
            occupancy,
            tensor,
            dram,
            pipes,
        } = &mut it.activity;
        self.one(GPM, "gpu_graphics_active_ratio", graphics);
        self.one(GPM, "gpu_sm_active_ratio", sm);
        self.one(GPM, "gpu_sm_occupancy_ratio", occupancy);
        self.one(GPM, "gpu_tensor_active_ratio", tensor);
        self.one(GPM, "gpu_dram_active_ratio", dram);
        self.list::<_, f64>(GPM, "gpu_pipe_active_ratio", pipes);
        for instance in &mut it.instances {
            if let Some(memory) = &mut instance.memory {
                self.one(MEMORY, "gpu_mig_memory_used_bytes", &mut memory.used);
                self.one(MEMORY, "gpu_mig_memory_total_bytes", &mut memory.total);
            }
            let activity = &mut instance.activity;
            self.one(GPM, "gpu_mig_graphics_active_ratio", &mut activity.graphics);
            self.one(GPM, "gpu_mig_sm_active_ratio", &mut activity.sm);
            self.one(GPM, "gpu_mig_sm_occupancy_ratio", &mut activity.occupancy);
            self.one(GPM, "gpu_mig_tensor_active_ratio", &mut activity.tensor);
            self.one(GPM, "gpu_mig_dram_active_ratio", &mut activity.dram);
        }
        for process in &mut it.processes {
            self.one(
                "nvmlDeviceGetComputeRunningProcesses_v3",
                "gpu_process_memory_bytes",
                &mut process.memory,
            );
            self.one(
                "nvmlDeviceGetProcessUtilization",
                "gpu_process_sm_utilization_percent",
                &mut process.sm,
            );
        }
    }
}

#[cfg(test)]
mod tests;
