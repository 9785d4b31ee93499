//! How much memory the agent may have: a limit that kills it must not be near.

use std::{fs, path::PathBuf};

use crate::support::{Agent, Lab, agent::Scratch};

/// The limit, of which the BPF maps take 19 MiB with a ledger. Unit: bytes.
const LIMIT: u64 = 40 << 20;

/// A control group with that limit; gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> Self {
        let name = format!("partymeter-{}", std::process::id());
        let old = PathBuf::from("/sys/fs/cgroup/memory");
        let (group, limit) = if old.exists() {
            (old.join(name), "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max")
        };
        fs::create_dir(&group).unwrap();
        fs::write(group.join(limit), LIMIT.to_string()).unwrap();
        Self(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The start takes the most: the kernel's types are read, and its verifier looks at the programs.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_start_stays_within_its_limit() {
    let lab = Lab::new();
    let group = Group::new();
    let ledger = Scratch::new("ledger");
    let config = format!(
        "[network]\nledger = \"{}\"\n{}",
        ledger.0.display(),
        lab.config()
    );
    let enter = format!(
        "echo $$ > {}/cgroup.procs && exec \"$@\"",
        group.0.display()
    );
    let agent = Agent::launch(&config, &["sh", "-c", &enter, "sh"]);
    let (a, b) = lab.connection();
    crate::pin::move_bytes(&a, &b, 100_000);
    agent.expect_moved(100_000, 0);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!("peak of resident memory: {}", peak.unwrap().trim());
    drop(agent);
}
