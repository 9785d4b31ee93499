//! The library and the driver: missing, not loaded, or released.

use std::path::Path;

use partymeter_fake_nvml::{Scenario, models::Model};

use super::{Fake, down, up};
use crate::support::{
    Agent,
    agent::{Scratch, program},
};

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
        ready.contains("load the kernel module nvidia (driver_not_loaded)"),
        "{ready}"
    );
    fake.change(|scenario| scenario.loaded = true);
    fake.until(&up(0), Some(1.0));
}

#[test]
fn the_gpus_are_released_on_request() {
    let fake = Fake::start(Scenario::of(Model::H100, 2));
    let answer = fake.agent.administer(&["gpu", "release"]);
    assert!(answer.status.success(), "{answer:?}");
    assert_eq!(answer.stdout, b"the GPUs are released for 60 s\n");
    fake.until(&down(0, "absent"), Some(1.0));
    fake.until(&down(1, "absent"), Some(1.0));
    let ready = fake.agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("gpu0: absent: released on request"),
        "{ready}"
    );
    let log = fake.agent.log();
    assert!(log.contains("releasing the GPUs for 60 s"), "{log}");
    assert!(
        log.contains("the GPUs are released: requested by user "),
        "{log}"
    );
}

#[test]
fn the_agent_runs_without_the_library() {
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

/// `cargo xtask setup` unpacks NVIDIA's library; this machine must not have its driver.
#[test]
#[ignore = "needs NVML: `cargo xtask test` runs it"]
fn nvidias_library_without_a_driver_is_absent() {
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
    let reason =
        "the NVIDIA driver is not loaded; help: load the kernel module nvidia (driver_not_loaded)";
    assert!(
        ready.contains("gpu: absent: ") && ready.contains(reason),
        "{ready}"
    );
}

#[test]
fn a_file_that_is_no_library_is_reported() {
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
