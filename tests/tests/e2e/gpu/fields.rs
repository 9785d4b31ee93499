//! Field values that are 0 on a healthy GPU: each test gives every field a value of its own, so that none can appear in the
//! series of another.

use nvml_wrapper_sys::bindings::field_id::*;
use partymeter_fake_nvml::{Scenario, models::Model};

use super::{Fake, answer, field_answer};

/// A field, its answer, the series (ID stands for `gpu_id`), and the value that the series must have.
type Case = (u32, i64, &'static str, f64);

/// Checks a model with one line for each [`Case`].
macro_rules! check {
    ($model:ident: $($field:tt = $answer:literal => $series:literal $value:literal;)*) => {
        check(Model::$model, &[$(($field, $answer, $series, $value)),*])
    };
}

/// Starts an agent with one GPU that gives these answers, and compares.
fn check(model: Model, cases: &[Case]) {
    let mut scenario = Scenario::of(model, 1);
    scenario.frozen = Some(1234.5);
    let answers = cases
        .iter()
        .map(|(field, value, ..)| field_answer(*field, None, *value));
    scenario.gpus[0].field_answers = answers.collect();
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for (field, _, series, wanted) in cases {
        let series = series.replace("ID", "gpu_id=\"0\"");
        assert_eq!(fake.series(&series), Some(*wanted), "{series}, of {field}");
    }
}

#[test]
fn each_field_of_a_device_has_its_own_series() {
    check! { H100:
        NVML_FI_DEV_REMAPPED_COR = 3 => "gpu_remapped_rows{ID,cause=\"correctable\"}" 3.0;
        NVML_FI_DEV_REMAPPED_UNC = 5 => "gpu_remapped_rows{ID,cause=\"uncorrectable\"}" 5.0;
        NVML_FI_DEV_REMAPPED_PENDING = 1 => "gpu_row_remap_pending{ID}" 1.0;
        NVML_FI_DEV_REMAPPED_FAILURE = 0 => "gpu_row_remap_failure{ID}" 0.0;
        NVML_FI_DEV_PCIE_REPLAY_COUNTER = 7 => "gpu_pcie_replays_total{ID}" 7.0;
        NVML_FI_DEV_GET_GPU_RECOVERY_ACTION = 4 => "gpu_recovery_action{ID}" 4.0;
        NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT = -9 => "gpu_temperature_margin_celsius{ID,limit=\"shutdown\"}" -9.0;
        NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT = -3 => "gpu_temperature_margin_celsius{ID,limit=\"slowdown\"}" -3.0;
        NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT = 2 => "gpu_temperature_margin_celsius{ID,limit=\"memory_max\"}" 2.0;
        NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT = 6 => "gpu_temperature_margin_celsius{ID,limit=\"gpu_max\"}" 6.0;
    }
}

#[test]
fn time_of_lowered_clocks_is_reported_by_reason() {
    check! { H100:
        NVML_FI_DEV_PERF_POLICY_THERMAL = 1_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"thermal\"}" 1.5;
        NVML_FI_DEV_PERF_POLICY_SYNC_BOOST = 2_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"sync_boost\"}" 2.5;
        NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT = 3_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"board_limit\"}" 3.5;
        NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION = 4_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"low_utilization\"}" 4.5;
        NVML_FI_DEV_PERF_POLICY_RELIABILITY = 5_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"reliability\"}" 5.5;
        // The ids of this driver; the bindings have those before CUDA 13.0 Update 1.
        269 = 6_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"sw_thermal_slowdown\"}" 6.5;
        270 = 7_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"hw_thermal_slowdown\"}" 7.5;
        271 = 8_500_000_000 => "gpu_throttle_seconds_total{ID,reason=\"hw_power_brake_slowdown\"}" 8.5;
    }
}

#[test]
fn a_failed_row_remap_is_not_a_pending_one() {
    check! { A100:
        NVML_FI_DEV_REMAPPED_PENDING = 0 => "gpu_row_remap_pending{ID}" 0.0;
        NVML_FI_DEV_REMAPPED_FAILURE = 1 => "gpu_row_remap_failure{ID}" 1.0;
    }
}

#[test]
fn retired_pages_are_reported_by_cause() {
    check! { T4:
        NVML_FI_DEV_RETIRED_SBE = 11 => "gpu_retired_pages{ID,cause=\"single_bit\"}" 11.0;
        NVML_FI_DEV_RETIRED_DBE = 13 => "gpu_retired_pages{ID,cause=\"double_bit\"}" 13.0;
    }
}

/// NVML returns signed temperatures in unsigned types.
#[test]
fn negative_temperatures_are_reported() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.gpus[0].field_answers = vec![field_answer(NVML_FI_DEV_MEMORY_TEMP, None, -7)];
    scenario.gpus[0].answers = vec![
        answer("nvmlDeviceGetTemperature", -5),
        answer("nvmlDeviceGetTemperatureThreshold", -1),
        answer("nvmlDeviceGetMarginTemperature", -3),
    ];
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for (series, wanted) in [
        ("gpu_temperature_celsius{ID,sensor=\"gpu\"}", -5.0),
        ("gpu_temperature_celsius{ID,sensor=\"memory\"}", -7.0),
        ("gpu_temperature_limit_celsius{ID,limit=\"shutdown\"}", -1.0),
        ("gpu_temperature_current_margin_celsius{ID}", -3.0),
    ] {
        let series = series.replace("ID", "gpu_id=\"0\"");
        assert_eq!(fake.series(&series), Some(wanted), "{series}");
    }
}
