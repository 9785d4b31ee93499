//! What the tests have in common: namespaces (`lab`, `hosts`), the agent and its page (`agent`), the kernel's counters
//! (`diag`), waiting for any of them (`wait`), and numbers that look random (`random`).

pub mod agent;
pub mod diag;
pub mod hosts;
pub mod lab;
pub mod random;
pub mod receiver;
pub mod wait;

pub use agent::Agent;
pub use hosts::Hosts;
pub use lab::Lab;
pub use wait::{until, until_true};

/// False, with the reason, for who is not root; in CI that is a failure.
pub fn root() -> bool {
    // SAFETY: no arguments.
    let root = unsafe { libc::geteuid() } == 0;
    assert!(
        root || std::env::var_os("CI").is_none(),
        "CI must run these tests as root"
    );
    if !root {
        eprintln!("skipped: network namespaces and BPF want root");
    }
    root
}

/// Leaves the test, with the reason, unless root runs it.
macro_rules! needs_root {
    () => {
        if !$crate::support::root() {
            return;
        }
    };
}
pub(crate) use needs_root;
