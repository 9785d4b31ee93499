//! What only some models, drivers or virtual GPUs support.

use partymeter_fake_nvml::{Gpu, Scenario, models::Model};

use super::{Fake, code, fails, library, old_library, up};

/// Driver 470 lacks `nvmlDeviceGetMemoryInfo_v2`, GPM, and the newer names of functions.
#[test]
fn an_old_driver_supplies_what_it_supports() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.driver_version = "470.223.02".to_owned();
    scenario.gpus[0].reasons = 4;
    let fake = Fake::with(scenario, "", &old_library());
    assert_eq!(fake.series(&up(0)), Some(1.0));
    fake.after_rounds(0, 2);
    // The first version of the function counts reserved memory as used.
    assert_eq!(fake.series("gpu_memory_reserved_bytes{gpu_id=\"0\"}"), None);
    assert!(fake.series("gpu_memory_used_bytes{gpu_id=\"0\"}").is_some());
    assert_eq!(
        fake.series("gpu_throttle_active{gpu_id=\"0\",reason=\"sw_power_cap\"}"),
        Some(1.0)
    );
    assert_eq!(fake.series("gpu_sm_active_ratio{gpu_id=\"0\"}"), None);
    assert_eq!(fake.series("gpu_cc_enabled"), None);
    let page = fake.agent.get("/metrics");
    assert!(!page.contains("partymeter_nvml_errors_total"), "{page}");
}

#[test]
fn models_can_be_mixed() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.gpus.push(Gpu::new(Model::T4));
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    assert!(fake.series("gpu_sm_active_ratio{gpu_id=\"0\"}").is_some());
    assert_eq!(fake.series("gpu_sm_active_ratio{gpu_id=\"1\"}"), None);
    assert_eq!(
        fake.series("gpu_encoder_utilization_percent{gpu_id=\"0\"}"),
        None
    );
    assert_eq!(
        fake.series("gpu_encoder_utilization_percent{gpu_id=\"1\"}"),
        Some(0.0)
    );
    assert_eq!(fake.series("partymeter_fake_gpus"), Some(1.0));
    assert!(fake.agent.log().contains("THESE GPUS ARE FAKE"));
    assert!(library().exists());
}

#[test]
fn the_license_of_a_virtual_gpu_is_reported() {
    let mut scenario = Scenario::of(Model::L40s, 3);
    scenario.gpus[1].license = Some(false);
    scenario.gpus[2].license = Some(true);
    let fake = Fake::start(scenario);
    let licensed = |gpu: u32| fake.series(&format!("gpu_vgpu_licensed{{gpu_id=\"{gpu}\"}}"));
    let wanted = [None, Some(0.0), Some(1.0)];
    assert_eq!([0, 1, 2].map(licensed), wanted);
}

/// The library has the new name without supporting it.
#[test]
fn a_renamed_function_is_called_by_its_old_name_too() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.gpus[0].reasons = 4;
    scenario.rules = [
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetSupportedClocksEventReasons",
    ]
    .map(|function| fails(function, 0, code::NOT_SUPPORTED))
    .into();
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for (reason, wanted) in [("sw_power_cap", 1.0), ("hw_slowdown", 0.0)] {
        let series = format!("gpu_throttle_active{{gpu_id=\"0\",reason=\"{reason}\"}}");
        assert_eq!(fake.series(&series), Some(wanted), "{series}");
    }
}

#[test]
fn each_fan_has_its_own_speed() {
    let mut scenario = Scenario::of(Model::L40s, 1);
    scenario.gpus[0].fans = vec![37, 105];
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    let fan = |fan: u32| {
        fake.series(&format!(
            "gpu_fan_speed_ratio{{gpu_id=\"0\",fan=\"{fan}\"}}"
        ))
    };
    assert_eq!((fan(0), fan(1), fan(2)), (Some(0.37), Some(1.05), None));
}
