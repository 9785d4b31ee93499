//! The processes on a GPU.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    process::Command,
};

use partymeter_fake_nvml::{Scenario, models::Model, scenario::Process};

use super::{Fake, library};
use crate::support::agent::Scratch;

#[test]
fn processes_are_reported_if_configured() {
    let mut scenario = Scenario::of(Model::H100, 1);
    let own = std::process::id();
    let process = |pid, memory, sm| Process { pid, memory, sm };
    scenario.gpus[0].processes = (0..100)
        .map(|at| process(2_000_000_000 + at, Some(1 << 20), None))
        .chain([
            process(own, Some(5 << 30), Some(42)),
            process(own + 1_000_000_000, None, Some(1)),
        ])
        .collect();
    let quiet = Fake::start(scenario.clone());
    quiet.after_rounds(0, 2);
    assert!(!quiet.agent.get("/metrics").contains("gpu_process_"));
    let fake = Fake::with(scenario, "processes = true", &library());
    fake.after_rounds(0, 2);
    let page = fake.agent.get("/metrics");
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let line = |metric: &str| {
        let start = format!(
            "{metric}{{gpu_id=\"0\",pid=\"{own}\",process=\"{}\",",
            name.trim_end()
        );
        page.lines()
            .find(|line| line.starts_with(&start))
            .and_then(|line| line.rsplit(' ').next())
    };
    assert_eq!(
        line("gpu_process_memory_bytes"),
        Some("5368709120"),
        "{page}"
    );
    assert_eq!(line("gpu_process_sm_utilization_percent"), Some("42"));
    assert_eq!(page.matches("\ngpu_process_memory_bytes{").count(), 65);
    let rest = "gpu_process_memory_bytes{gpu_id=\"0\",pid=\"other\",process=\"\",container=\"\"}";
    assert_eq!(fake.series(rest), Some(f64::from((100 - 63) << 20)));
}

#[test]
fn process_names_are_complete_and_printable() {
    let directory = Scratch::new("names");
    fs::create_dir(&directory.0).unwrap();
    let name = b"\xff\"\n\\\xe2\x80\xaex";
    let program = directory.0.join(OsStr::from_bytes(name));
    symlink("/usr/bin/sleep", &program).unwrap();
    let mut child = Command::new(&program).arg("600").spawn().unwrap();
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.gpus[0].processes = vec![Process {
        pid: child.id(),
        memory: Some(1 << 20),
        sm: None,
    }];
    let fake = Fake::with(scenario, "processes = true", &library());
    fake.after_rounds(0, 2);
    let pid = child.id();
    // The page escapes backslashes and quotes once more.
    let shown = r#"\\xff\"\\n\\\\u{202e}x"#;
    let series = format!(
        "gpu_process_memory_bytes{{gpu_id=\"0\",pid=\"{pid}\",process=\"{shown}\",container=\""
    );
    let page = fake.agent.get("/metrics");
    let found = page.lines().any(|line| line.starts_with(&series));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found, "no {series}\n{page}");
}
