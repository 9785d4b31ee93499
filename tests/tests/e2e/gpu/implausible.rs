//! Implausible answers of NVML.

use partymeter_fake_nvml::{FieldAnswer, Scenario, models::Model};

use super::{Fake, answer, up};

/// What some drivers return in place of a missing value.
const MARKER: i64 = 0xff00_0000;

/// Series, and the call that supplies each.
const IMPLAUSIBLE: [(&str, &str); 8] = [
    (
        "gpu_utilization_percent{gpu_id=\"0\",node=\"here\"}",
        "nvmlDeviceGetUtilizationRates",
    ),
    ("gpu_power_watts{gpu_id=\"0\"}", "nvmlDeviceGetPowerUsage"),
    (
        "gpu_memory_used_bytes{gpu_id=\"0\"}",
        "nvmlDeviceGetMemoryInfo_v2",
    ),
    (
        "gpu_pcie_link_width{gpu_id=\"0\"}",
        "nvmlDeviceGetCurrPcieLinkWidth",
    ),
    (
        "gpu_nvlink_up{gpu_id=\"0\",link=\"0\"}",
        "nvmlDeviceGetNvLinkState",
    ),
    (
        "gpu_temperature_celsius{gpu_id=\"0\",sensor=\"gpu\"}",
        "nvmlDeviceGetTemperature",
    ),
    (
        "gpu_temperature_celsius{gpu_id=\"0\",sensor=\"memory\"}",
        "nvmlDeviceGetFieldValues",
    ),
    (
        "gpu_row_remap_failure{gpu_id=\"0\"}",
        "nvmlDeviceGetFieldValues",
    ),
];

#[test]
fn implausible_values_are_absent_and_counted() {
    let mut scenario = Scenario::of(Model::H100, 2);
    let gpu = &mut scenario.gpus[0];
    gpu.field_answers = [82, 145]
        .map(|field| FieldAnswer {
            field,
            scope: None,
            value: MARKER,
        })
        .into();
    gpu.fans = vec![30];
    gpu.answers = vec![
        answer("nvmlDeviceGetUtilizationRates", 808_334_905),
        answer("nvmlDeviceGetPowerUsage", u32::MAX.into()),
        answer("nvmlDeviceGetMemoryInfo_v2", -1),
        answer("nvmlDeviceGetCurrPcieLinkWidth", MARKER),
        answer("nvmlDeviceGetNvLinkState", MARKER),
        answer("nvmlDeviceGetTemperature", MARKER),
        // The agent reads at most 64 fans.
        answer("nvmlDeviceGetNumFans", MARKER),
    ];
    let mut fake = Fake::start(scenario);
    fake.after_rounds(0, 5);
    let page = fake.agent.get("/metrics");
    for (series, call) in IMPLAUSIBLE {
        assert_eq!(fake.series(series), None, "{series}");
        let healthy = series.replacen("\"0\"", "\"1\"", 1);
        assert!(fake.series(&healthy).is_some(), "{healthy}\n{page}");
        let errors =
            format!("partymeter_nvml_errors_total{{call=\"{call}\",code=\"implausible\"}}");
        assert!(fake.series(&errors) >= Some(1.0), "{errors}");
    }
    // All other series are unaffected.
    assert_eq!(fake.series(&up(0)), Some(1.0));
    assert!(
        fake.series("gpu_memory_total_bytes{gpu_id=\"0\"}")
            .is_some()
    );
    let fan = "gpu_fan_speed_ratio{gpu_id=\"0\",fan=\"0\"}";
    assert_eq!(fake.series(fan), Some(0.3));
    // One line when it begins and one when it ends.
    let omitted = ["gpu_power_watts of GPU 0 is omitted: nvmlDeviceGetPowerUsage returned"];
    assert_eq!(fake.lines(&omitted), 1, "{}", fake.agent.log());
    fake.change(|scenario| {
        scenario.gpus[0].answers.clear();
        scenario.gpus[0].field_answers.clear();
    });
    fake.until(IMPLAUSIBLE[1].0, Some(70.0));
    fake.until(IMPLAUSIBLE[6].0, Some(38.0));
    fake.agent.wait_for("gpu_power_watts of GPU 0 is back");
    assert_eq!(fake.lines(&omitted), 1);
}

#[test]
fn implausible_counts_bound_loops_and_memory() {
    let mut scenario = Scenario::of(Model::A100, 1);
    scenario.gpus[0].answers = vec![answer("nvmlDeviceGetMaxMigDeviceCount", MARKER)];
    scenario.gpus[0].mig = vec![partymeter_fake_nvml::scenario::Instance {
        gpu_instance: 1,
        compute_instance: 0,
        profile: "1g.10gb".to_owned(),
        memory: 9_856,
    }];
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    assert_eq!(fake.series(&up(0)), Some(1.0));
    assert!(fake.agent.get("/metrics").contains("\ngpu_mig_info{"));
}
