//! Calls that hang or fail: only their own series vanish, the reason is reported, and they come back without a restart.

use partymeter_fake_nvml::{Rule, Scenario, models::Model};

use super::{Fake, code, down, fails, power, up};

#[test]
fn a_hanging_call_affects_one_gpu_only() {
    let mut fake = Fake::start(Scenario::of(Model::H100, 3));
    assert_eq!(fake.series(&up(1)), Some(1.0));
    fake.change(|scenario| {
        scenario.rules.push(Rule {
            function: "nvmlDeviceGetPowerUsage".to_owned(),
            gpu: Some(1),
            hang: true,
            ..Rule::default()
        });
    });
    fake.until(&up(1), Some(0.0));
    assert_eq!(fake.series(&down(1, "deadline")), Some(1.0));
    assert_eq!(fake.series(&power(1)), None);
    // The others keep their interval, and the page does not wait.
    fake.after_rounds(0, 10);
    fake.after_rounds(2, 10);
    assert_eq!(fake.series(&power(0)), Some(70.0));
    assert!(
        fake.agent
            .get("/-/ready")
            .contains("gpu1: down: no response for")
    );
    fake.change(|scenario| scenario.rules.clear());
    fake.until(&up(1), Some(1.0));
    assert_eq!(fake.series(&power(1)), Some(70.0));
}

#[test]
fn a_gpu_that_hangs_from_the_start_does_not_delay_the_others() {
    let mut scenario = Scenario::of(Model::A100, 2);
    scenario.rules.push(Rule {
        function: "nvmlDeviceGetUUID".to_owned(),
        gpu: Some(0),
        hang: true,
        ..Rule::default()
    });
    let fake = Fake::start(scenario);
    fake.until(&up(1), Some(1.0));
    fake.until(&down(0, "deadline"), Some(1.0));
    assert_eq!(fake.series(&power(1)), Some(60.0));
}

#[test]
fn unsupported_values_are_absent_and_failures_are_counted() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.rules = vec![
        fails("nvmlDeviceGetPowerUsage", 0, code::NOT_SUPPORTED),
        fails("nvmlDeviceGetTemperature", 0, code::UNKNOWN),
        fails("nvmlDeviceGetUtilizationRates", 0, code::INSUFFICIENT_SIZE),
        Rule {
            function: "nvmlDeviceGetFieldValues".to_owned(),
            gpu: Some(0),
            field: Some(83),
            code: code::UNKNOWN,
            ..Rule::default()
        },
    ];
    let mut fake = Fake::start(scenario);
    assert_eq!(fake.series(&up(0)), Some(1.0));
    for series in [
        power(0).as_str(),
        "gpu_temperature_celsius{gpu_id=\"0\",sensor=\"gpu\"}",
        "gpu_utilization_percent{gpu_id=\"0\",node=\"here\"}",
        "gpu_energy_joules_total{gpu_id=\"0\"}",
    ] {
        assert_eq!(fake.series(series), None, "{series}");
        assert!(
            fake.series(&series.replace("\"0\"", "\"1\"")).is_some(),
            "{series}"
        );
    }
    let errors = |call: &str, code: &str| {
        fake.series(&format!(
            "partymeter_nvml_errors_total{{call=\"{call}\",code=\"{code}\"}}"
        ))
    };
    assert_eq!(errors("nvmlDeviceGetPowerUsage", "not_supported"), None);
    assert!(errors("nvmlDeviceGetTemperature", "unknown") >= Some(1.0));
    assert!(errors("nvmlDeviceGetUtilizationRates", "insufficient_size") >= Some(1.0));
    assert!(errors("nvmlDeviceGetFieldValues", "unknown") >= Some(1.0));
    fake.change(|scenario| scenario.rules.clear());
    fake.until(
        "gpu_utilization_percent{gpu_id=\"0\",node=\"here\"}",
        Some(0.0),
    );
}

#[test]
fn a_gpu_whose_every_call_fails_is_down() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.rules = vec![fails("*", 1, code::UNKNOWN)];
    let mut fake = Fake::start(scenario);
    fake.until(&down(1, "read"), Some(1.0));
    assert_eq!(fake.series(&power(0)), Some(70.0));
    fake.change(|scenario| {
        scenario.rules = vec![fails("nvmlDeviceGetMemoryInfo_v2", 1, code::GPU_IS_LOST)];
    });
    fake.until(&down(1, "lost"), Some(1.0));
    fake.change(|scenario| scenario.rules.clear());
    fake.until(&up(1), Some(1.0));
}

#[test]
fn a_gpu_whose_calls_fail_causes_no_reload() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.rules = vec![fails("*", 1, code::UNKNOWN)];
    let mut fake = Fake::start(scenario);
    fake.until(&down(1, "read"), Some(1.0));
    // Longer than the 10 s after which NVML is reloaded for a lost GPU.
    fake.after_rounds(0, 70);
    assert_eq!(fake.calls("nvmlInit_v2"), 1);
    assert_eq!(fake.series(&power(0)), Some(70.0));
    fake.change(|scenario| scenario.rules.clear());
    fake.until(&up(1), Some(1.0));
    assert_eq!(fake.calls("nvmlInit_v2"), 1);
    assert_eq!(fake.lines(&["the gpu0 source"]), 0, "{}", fake.agent.log());
}
