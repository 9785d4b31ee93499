//! How much memory the agent may have: a limit that kills it must not be near.

use partymeter_tests::memory_group::MemoryGroup;

use crate::support::{Agent, Lab, agent::Scratch};

/// The limit. At its highest, while the verifier looks at the programs, a start takes 22 MiB; what runs takes 11 MiB, of
/// which 7 MiB are BPF maps with those of a ledger. Unit: bytes.
const LIMIT: u64 = 24 << 20;

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_start_stays_within_its_limit() {
    let lab = Lab::new();
    let group = MemoryGroup::new(Some(LIMIT)).unwrap();
    let ledger = Scratch::new("ledger");
    let config = format!(
        "[ledger]\npath = \"{}\"\n{}",
        ledger.0.display(),
        lab.config()
    );
    let enter = group.enter();
    let enter: Vec<&str> = enter.iter().map(String::as_str).collect();
    let agent = Agent::launch(&config, &enter);
    let (a, b) = lab.connection();
    crate::pin::move_bytes(&a, &b, 100_000);
    agent.expect_moved(100_000, 0);
    println!("at most {} bytes were in use", group.peak().unwrap());
    drop(agent);
}
