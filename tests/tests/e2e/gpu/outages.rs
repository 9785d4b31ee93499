//! A GPU that goes: what killed it, which one it was, and whom else it concerns.

use partymeter_fake_nvml::{Rule, Scenario, models::Model};

use super::{
    Fake, code, fails,
    failures::{down, power, up},
    library,
};

const IDENTITY: &str =
    "NVIDIA H100 80GB HBM3, GPU-00000001-0000-4000-8000-000000000001, 00000000:12:00.0";

#[test]
fn what_kills_a_gpu_in_the_middle_of_a_round_is_told_and_who_it_was() {
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
            // After the events of the round were read.
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
    assert_eq!(fake.series(xid), Some(1.0), "not told twice");
}

#[test]
fn an_xid_is_of_the_gpu_that_its_event_names() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.gpus[0].events_name = Some(1);
    let mut fake = Fake::start(scenario);
    fake.change(|scenario| scenario.gpus[0].xids.push(63));
    let xid = |gpu: u32| format!("gpu_xid_errors_total{{gpu_id=\"{gpu}\",xid=\"63\"}}");
    fake.until(&xid(1), Some(1.0));
    assert_eq!(fake.series(&xid(0)), None);
}

#[test]
fn a_gpu_whose_calls_fail_disturbs_no_other() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.rules = vec![fails("*", 1, code::UNKNOWN)];
    let mut fake = Fake::start(scenario);
    fake.until(&down(1, "read"), Some(1.0));
    // For longer than it takes until NVML is started anew for one that is lost: 10 s.
    fake.after_rounds(0, 70);
    assert_eq!(fake.calls("nvmlInit_v2"), 1);
    assert_eq!(fake.series(&power(0)), Some(70.0));
    fake.change(|scenario| scenario.rules.clear());
    fake.until(&up(1), Some(1.0));
    assert_eq!(fake.calls("nvmlInit_v2"), 1);
    assert_eq!(fake.lines(&["the gpu0 source"]), 0, "{}", fake.agent.log());
}
