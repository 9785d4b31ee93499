//! What each thread of the agent may do.

use std::{collections::BTreeMap, fs};

use partymeter_fake_nvml::{SCENARIO, Scenario, models::Model};

use crate::{
    gpu::library,
    support::{Agent, Lab, agent::Scratch, until},
};

/// Of all capabilities, 1 << 39: `CAP_BPF`.
const BPF: &str = "0000008000000000";
/// `CAP_NET_ADMIN`, 1 << 12, beside it: permitted, to attach the programs of UDP once more, and not in force.
const BPF_AND_NET_ADMIN: &str = "0000008000001000";
const NONE: &str = "0000000000000000";

/// The threads of a process by name, with what `/proc` says of them; one that ends meanwhile is left out.
fn threads(process: u32) -> BTreeMap<String, Vec<String>> {
    let mut threads = BTreeMap::<String, Vec<String>>::new();
    for task in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        if let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) {
            let name = field(&status, "Name:");
            threads.entry(name).or_default().push(status);
        }
    }
    threads
}

fn field(status: &str, name: &str) -> String {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    value.unwrap().trim().to_owned()
}

/// With everything switched on, and once attached, no thread can do more than it needs: the one that reads the maps
/// has `CAP_BPF`, all others have nothing, and no way leads back.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn every_thread_has_what_it_needs_and_no_more() {
    let lab = Lab::new();
    let file = Scratch::with(
        "scenario.json",
        &serde_json::to_string(&Scenario::of(Model::H100, 2)).unwrap(),
    );
    let ledger = Scratch::new("ledger");
    let (library, directory) = (library(), ledger.0.display());
    let library = library.display();
    // Nobody takes it; there are threads that try.
    let otlp = "[otlp]\nendpoint = \"http://127.0.0.1:1\"\n";
    let config = format!(
        "{otlp}[gpu]\nlibrary = \"{library}\"\n[ledger]\npath = \"{directory}\"\n{}transport = \"udp\"\n",
        lab.config()
    );
    let variable = format!("{SCENARIO}={}", file.0.display());
    let agent = Agent::launch(&config, &["env", &variable]);
    let wanted = [
        "partymeter",
        "network",
        "ledger",
        "gpu",
        "gpu0",
        "gpu1",
        "idle",
        "host",
        "otlp",
    ];
    let found = until(
        || {
            let found = threads(agent.id());
            let attached = agent.log().contains("the network source keeps these");
            let all = attached && wanted.iter().all(|name| found.contains_key(*name));
            all.then_some(found)
        },
        || format!("{:?}\n{}", threads(agent.id()).keys(), agent.log()),
    );
    for (name, statuses) in found {
        for status in statuses {
            let reads_maps = name == "network";
            for (set, allowed) in [("CapEff:", BPF), ("CapPrm:", BPF_AND_NET_ADMIN)] {
                let allowed = if reads_maps { allowed } else { NONE };
                assert_eq!(field(&status, set), allowed, "{name} {set}\n{status}");
            }
            for set in ["CapInh:", "CapAmb:", "CapBnd:"] {
                assert_eq!(field(&status, set), NONE, "{name} {set}\n{status}");
            }
            assert_eq!(field(&status, "NoNewPrivs:"), "1", "{name}\n{status}");
        }
    }
}

/// Where it cannot attach, the thread that tries again has what that needs, and nothing else; all others have nothing.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn who_waits_to_attach_has_no_more_than_that_needs() {
    // Without CAP_BPF and CAP_SYS_ADMIN the kernel takes no program.
    let wrapper = [
        "setpriv",
        "--bounding-set=-bpf,-sys_admin",
        "--inh-caps=-all",
    ];
    let agent = Agent::launch("", &wrapper);
    let ready = agent.get("/-/ready");
    assert!(ready.contains("network: down: "), "{ready}");
    let found = threads(agent.id());
    assert!(found.contains_key("network"), "{:?}", found.keys());
    for (name, statuses) in found {
        for status in statuses {
            // CAP_NET_ADMIN (12) and CAP_PERFMON (38).
            let allowed = if name == "network" {
                "0000004000001000"
            } else {
                NONE
            };
            for set in ["CapEff:", "CapPrm:"] {
                assert_eq!(field(&status, set), allowed, "{name} {set}\n{status}");
            }
            assert_eq!(field(&status, "NoNewPrivs:"), "1", "{name}\n{status}");
        }
    }
}
