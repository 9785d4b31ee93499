//! GPUs that are lost or removed, and drivers that are reloaded.

use partymeter_fake_nvml::{Rule, Scenario, models::Model};

use super::{Fake, code, down, fails, library, power, up};

const IDENTITY: &str =
    "NVIDIA H100 80GB HBM3, GPU-00000001-0000-4000-8000-000000000001, 00000000:12:00.0";

#[test]
fn the_xid_that_ends_a_gpu_and_its_identity_are_reported() {
    let scenario = Scenario::of(Model::H100, 2);
    let mut fake = Fake::with(scenario, "dcgm_names = true", &library());
    let info = |fake: &Fake| {
        let page = fake.agent.get("/metrics");
        let line = page
            .lines()
            .find(|line| line.starts_with("gpu_info{gpu_id=\"1\""));
        line.map(str::to_owned)
    };
    let before = info(&fake).unwrap();
    fake.change(|scenario| {
        scenario.rules = vec![Rule {
            // This call comes after the events of the round are read.
            xid: Some(79),
            ..fails("nvmlDeviceGetPowerUsage", 1, code::GPU_IS_LOST)
        }];
    });
    fake.until(&down(1, "lost"), Some(1.0));
    let xid = "gpu_xid_errors_total{gpu_id=\"1\",xid=\"79\"}";
    assert_eq!(fake.series(xid), Some(1.0));
    assert_eq!(info(&fake), Some(before));
    let page = fake.agent.get("/metrics");
    let last = page
        .lines()
        .find(|line| line.starts_with("DCGM_FI_DEV_XID_ERRORS{gpu=\"1\""));
    assert!(last.is_some_and(|line| line.ends_with("} 79")), "{last:?}");
    let ready = fake.agent.get("/-/ready");
    assert!(
        ready
            .lines()
            .any(|line| line.starts_with("gpu1: down: nvml") && line.contains(IDENTITY)),
        "{ready}"
    );
    assert_eq!(fake.lines(&["the gpu1 source is down", IDENTITY]), 1);
    fake.change(|scenario| scenario.rules.clear());
    fake.until(&up(1), Some(1.0));
    fake.agent.wait_for("the gpu1 source is back");
    assert_eq!(fake.lines(&["the gpu1 source is back", IDENTITY]), 1);
    assert_eq!(fake.lines(&["the gpu1 source"]), 2, "{}", fake.agent.log());
    assert_eq!(fake.series(xid), Some(1.0), "counted once");
}

#[test]
fn a_lost_gpu_reports_the_reason_and_comes_back() {
    let mut fake = Fake::start(Scenario::of(Model::H100, 2));
    // The XID is read before another call finds the GPU lost.
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
    // Retries are limited.
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
    assert_eq!(fake.series(xid), Some(1.0), "counted once");
}

#[test]
fn the_others_keep_their_ids_when_a_gpu_is_removed() {
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
    // NVML is reloaded, and the remaining GPUs have other indices.
    fake.until("partymeter_nvml_errors_total{call=\"nvmlDeviceGetHandleByPciBusId_v2\",code=\"not_found\"}", Some(1.0));
    fake.until(&up(2), Some(1.0));
    assert_eq!(uuid(&fake, 2), Some(third));
    assert_eq!(uuid(&fake, 1), Some(second), "also while it is down");
    fake.change(|scenario| scenario.gpus[1].removed = false);
    fake.until(&up(1), Some(1.0));
    // Lost, then not found, across reloads of NVML: still one outage.
    assert_eq!(fake.lines(&["the gpu1 source is down"]), 1);
    assert_eq!(fake.lines(&["the gpu1 source is back"]), 1);
    assert_eq!(fake.lines(&["NVML"]), 1, "{}", fake.agent.log());
}

#[test]
fn a_reloaded_driver_needs_no_restart_of_the_agent() {
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
