//! What goes wrong, one thing at a time: it takes its own series away, says why, and comes back by itself.

use std::path::Path;

use partymeter_fake_nvml::{Gpu, Rule, Scenario, models::Model};

use super::{Fake, code, fails, library, old_library};
use crate::support::{
    Agent,
    agent::{Scratch, program},
};

pub(super) fn up(gpu: usize) -> String {
    format!("gpu_up{{gpu_id=\"{gpu}\"}}")
}

pub(super) fn down(gpu: usize, reason: &str) -> String {
    format!("gpu_down_info{{gpu_id=\"{gpu}\",reason=\"{reason}\"}}")
}

pub(super) fn power(gpu: usize) -> String {
    format!("gpu_power_watts{{gpu_id=\"{gpu}\"}}")
}

#[test]
fn a_call_that_hangs_stops_one_gpu_only() {
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
    // The others go on at their interval, and the page does not wait.
    fake.after_rounds(0, 10);
    fake.after_rounds(2, 10);
    assert_eq!(fake.series(&power(0)), Some(70.0));
    assert!(
        fake.agent
            .get("/-/ready")
            .contains("gpu1: down: does not answer since")
    );
    fake.change(|scenario| scenario.rules.clear());
    fake.until(&up(1), Some(1.0));
    assert_eq!(fake.series(&power(1)), Some(70.0));
}

#[test]
fn one_that_hangs_from_the_start_does_not_hold_the_others_up() {
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
fn a_lost_gpu_says_why_and_comes_back() {
    let mut fake = Fake::start(Scenario::of(Model::H100, 2));
    // What the kernel's log says is read before the GPU is found lost.
    fake.change(|scenario| {
        scenario.gpus[1].xids.push(79);
        scenario.gpus[1].lost = true;
    });
    fake.until(&up(1), Some(0.0));
    assert_eq!(fake.series(&down(1, "lost")), Some(1.0));
    assert_eq!(fake.series(&power(1)), None);
    assert_eq!(fake.series("gpu_memory_used_bytes{gpu_id=\"1\"}"), None);
    let xid = "gpu_xid_errors_total{gpu_id=\"1\",xid=\"79\"}";
    assert_eq!(fake.series(xid), Some(1.0));
    assert_eq!(fake.series(&power(0)), Some(70.0));
    let ready = fake.agent.get("/-/ready");
    assert!(
        ready.starts_with("HTTP/1.1 503 ") && ready.contains("gpu1: down: nvml"),
        "{ready}"
    );
    // No storm of tries.
    let errors = || {
        let page = fake.agent.get("/metrics");
        let lines = page
            .lines()
            .filter(|line| line.starts_with("partymeter_nvml_errors_total"));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum::<f64>()
    };
    let before = errors();
    fake.after_rounds(0, 20);
    assert!(
        errors() - before < 10.0,
        "{} in 20 rounds",
        errors() - before
    );
    fake.change(|scenario| scenario.gpus[1].lost = false);
    fake.until(&up(1), Some(1.0));
    assert_eq!(fake.series(xid), Some(1.0), "not told twice");
}

#[test]
fn a_removed_gpu_leaves_the_others_their_numbers() {
    let mut fake = Fake::start(Scenario::of(Model::H100, 3));
    let uuid = |fake: &Fake, gpu: usize| {
        let page = fake.agent.get("/metrics");
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("gpu_info{{gpu_id=\"{gpu}\"")));
        line.map(|line| line.split('"').nth(3).unwrap().to_owned())
    };
    let [second, third] = [1, 2].map(|gpu| uuid(&fake, gpu).unwrap());
    fake.change(|scenario| scenario.gpus[1].removed = true);
    fake.until(&up(1), Some(0.0));
    // The library is started anew for it: what is there now has other indices.
    fake.until("partymeter_nvml_errors_total{call=\"nvmlDeviceGetHandleByPciBusId_v2\",code=\"not_found\"}", Some(1.0));
    fake.until(&up(2), Some(1.0));
    assert_eq!(uuid(&fake, 2), Some(third));
    assert_eq!(uuid(&fake, 1), Some(second), "known while it is down");
    fake.change(|scenario| scenario.gpus[1].removed = false);
    fake.until(&up(1), Some(1.0));
    // Lost, then not found, then by another start of NVML: one outage all the same.
    assert_eq!(fake.lines(&["the gpu1 source is down"]), 1);
    assert_eq!(fake.lines(&["the gpu1 source is back"]), 1);
    assert_eq!(fake.lines(&["NVML"]), 1, "{}", fake.agent.log());
}

#[test]
fn a_driver_that_is_loaded_anew_needs_no_restart() {
    let mut fake = Fake::start(Scenario::of(Model::H100, 2));
    fake.change(|scenario| scenario.loaded = false);
    fake.until(&up(0), Some(0.0));
    fake.until(&up(1), Some(0.0));
    fake.until("partymeter_source_up{source=\"gpu\"}", Some(0.0));
    fake.change(|scenario| {
        scenario.loaded = true;
        scenario.generation += 1;
        scenario.driver_version = "590.10".to_owned();
    });
    fake.until(&up(0), Some(1.0));
    fake.until(&up(1), Some(1.0));
    assert!(
        fake.agent
            .get("/metrics")
            .contains("driver_version=\"590.10\"")
    );
}

#[test]
fn the_driver_may_be_loaded_after_the_agent() {
    let mut fake = Fake::start(Scenario {
        loaded: false,
        ..Scenario::of(Model::L40s, 1)
    });
    assert_eq!(
        fake.series("partymeter_source_up{source=\"gpu\"}"),
        Some(0.0)
    );
    let ready = fake.agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("gpu: absent: "),
        "{ready}"
    );
    assert!(
        ready.contains("load the module nvidia (driver_not_loaded)"),
        "{ready}"
    );
    fake.change(|scenario| scenario.loaded = true);
    fake.until(&up(0), Some(1.0));
}

#[test]
fn what_is_not_supported_is_absent_and_what_fails_is_counted() {
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
fn a_gpu_of_which_nothing_can_be_read_is_down() {
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
fn no_xid_is_missed_and_none_is_told_twice() {
    let mut scenario = Scenario::of(Model::H100, 2);
    // Those of before the agent are nothing that it saw.
    scenario.gpus[0].xids = vec![13; 5];
    let mut fake = Fake::start(scenario);
    let count = |xid: u32| format!("gpu_xid_errors_total{{gpu_id=\"0\",xid=\"{xid}\"}}");
    fake.after_rounds(0, 2);
    assert_eq!(fake.series(&count(13)), None);
    for burst in 0..10 {
        fake.change(|scenario| {
            scenario.gpus[0].xids.extend([31; 100]);
            scenario.gpus[0].xids.push(48 + burst % 2);
        });
        fake.after_rounds(0, 1);
    }
    fake.until(&count(31), Some(1000.0));
    fake.until(&count(48), Some(5.0));
    fake.until(&count(49), Some(5.0));
    fake.after_rounds(0, 3);
    assert_eq!(fake.series(&count(31)), Some(1000.0));
    let last = fake
        .series("gpu_xid_last_timestamp_seconds{gpu_id=\"0\",xid=\"31\"}")
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!((0.0..30.0).contains(&(now.as_secs_f64() - last)), "{last}");
    assert_eq!(
        fake.series("gpu_xid_errors_total{gpu_id=\"1\",xid=\"31\"}"),
        None
    );
}

#[test]
fn handles_are_given_up_on_request() {
    let fake = Fake::start(Scenario::of(Model::H100, 2));
    let answer = fake.agent.administer(&["gpu", "release"]);
    assert!(answer.status.success(), "{answer:?}");
    assert_eq!(answer.stdout, b"the GPUs are given up for 60 s\n");
    fake.until(&down(0, "absent"), Some(1.0));
    fake.until(&down(1, "absent"), Some(1.0));
    let ready = fake.agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("gpu0: absent: given up on request"),
        "{ready}"
    );
    let log = fake.agent.log();
    assert!(log.contains("giving the GPUs up for 60 s"), "{log}");
    assert!(
        log.contains("the GPUs are given up: asked for by user "),
        "{log}"
    );
}

#[test]
fn without_the_library_all_else_runs() {
    let nowhere = Scratch::new("libnvidia-ml.so.1");
    let agent = Agent::launch(
        &format!(
            "[gpu]\nlibrary = \"{}\"\n[network]\nenabled = false\n",
            nowhere.0.display()
        ),
        &[],
    );
    let ready = agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("host: up"),
        "{ready}"
    );
    assert!(ready.contains("gpu: absent: cannot load NVML: "), "{ready}");
    assert!(ready.contains(
        "install the NVIDIA driver, set gpu.library to the file, or set gpu.enabled = false"
    ));
    assert_eq!(
        agent.series("partymeter_source_up{source=\"gpu\"}"),
        Some(0.0)
    );
    assert!(!agent.get("/metrics").contains("\ngpu_"));
}

/// NVIDIA's own library, where `cargo xtask setup` could have it, on a machine without its driver.
#[test]
#[ignore = "needs NVML: `cargo xtask test` runs it"]
fn the_real_library_without_a_driver() {
    let target = program().parent().unwrap().parent().unwrap().to_owned();
    let real = target.join("nvml/usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ml.so.1");
    assert!(
        real.exists(),
        "needs NVML: no {}; run `cargo xtask setup test`",
        real.display()
    );
    assert!(
        !Path::new("/proc/driver/nvidia").exists(),
        "needs NVML without its driver, which is loaded"
    );
    let agent = Agent::launch(
        &format!(
            "[gpu]\nlibrary = \"{}\"\n[network]\nenabled = false\n",
            real.display()
        ),
        &[],
    );
    let ready = agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("host: up"),
        "{ready}"
    );
    let reason = "the NVIDIA driver is not loaded: load the module nvidia (driver_not_loaded)";
    assert!(
        ready.contains("gpu: absent: ") && ready.contains(reason),
        "{ready}"
    );
}

/// Something that is no NVML at all.
#[test]
fn a_library_that_is_none_is_told() {
    let other = Scratch::with("libother.so", "not a library");
    let agent = Agent::launch(
        &format!(
            "[gpu]\nlibrary = \"{}\"\n[network]\nenabled = false\n",
            other.0.display()
        ),
        &[],
    );
    assert!(
        agent.get("/-/ready").contains("cannot load NVML: "),
        "{}",
        agent.get("/-/ready")
    );
}

/// A driver of some years ago: without the second version of memory, GPM, and the new names.
#[test]
fn an_old_driver_gives_what_it_has() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.driver_version = "470.223.02".to_owned();
    scenario.gpus[0].reasons = 4;
    let fake = Fake::with(scenario, "", &old_library());
    assert_eq!(fake.series(&up(0)), Some(1.0));
    fake.after_rounds(0, 2);
    // The first version counts what is reserved as used.
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
fn models_are_mixed() {
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
    assert!(fake.agent.log().contains("THESE GPUS ARE MADE UP"));
    assert!(library().exists());
}
