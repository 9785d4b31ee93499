//! A library that answers with figures that cannot be.

use partymeter_fake_nvml::{Figure, Scenario, models::Model};

use super::{Fake, answer, failures::up};

/// What drivers write where they have nothing to say.
const MARKER: i64 = 0xff00_0000;

/// Each with what it is answered by.
const ABSURD: [(&str, &str); 8] = [
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
fn figures_that_cannot_be_are_absent_and_counted() {
    let mut scenario = Scenario::of(Model::H100, 2);
    let gpu = &mut scenario.gpus[0];
    gpu.figures = [82, 145]
        .map(|field| Figure {
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
        // As many are not asked for one by one.
        answer("nvmlDeviceGetNumFans", MARKER),
    ];
    let mut fake = Fake::start(scenario);
    fake.after_rounds(0, 5);
    let page = fake.agent.get("/metrics");
    for (series, call) in ABSURD {
        assert_eq!(fake.series(series), None, "{series}");
        let sound = series.replacen("\"0\"", "\"1\"", 1);
        assert!(fake.series(&sound).is_some(), "{sound}\n{page}");
        let errors =
            format!("partymeter_nvml_errors_total{{call=\"{call}\",code=\"implausible\"}}");
        assert!(fake.series(&errors) >= Some(1.0), "{errors}");
    }
    // All else is as it is.
    assert_eq!(fake.series(&up(0)), Some(1.0));
    assert!(
        fake.series("gpu_memory_total_bytes{gpu_id=\"0\"}")
            .is_some()
    );
    let fan = "gpu_fan_speed_ratio{gpu_id=\"0\",fan=\"0\"}";
    assert_eq!(fake.series(fan), Some(0.3));
    // Once when it begins and once when it ends, not in each round.
    let left_out = ["gpu_power_watts of GPU 0 is left out: nvmlDeviceGetPowerUsage says"];
    assert_eq!(fake.lines(&left_out), 1, "{}", fake.agent.log());
    fake.change(|scenario| {
        scenario.gpus[0].answers.clear();
        scenario.gpus[0].figures.clear();
    });
    fake.until(ABSURD[1].0, Some(70.0));
    fake.until(ABSURD[6].0, Some(38.0));
    fake.agent.wait_for("gpu_power_watts of GPU 0 is back");
    assert_eq!(fake.lines(&left_out), 1);
}

/// Loops and memory are bounded by what there can be.
#[test]
fn counts_that_cannot_be_cost_nothing() {
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
