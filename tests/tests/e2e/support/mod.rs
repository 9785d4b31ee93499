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

/// Bytes that went to a party, and none from it.
pub fn sent(transmit: u64) -> agent::Bytes {
    agent::Bytes {
        transmit,
        receive: 0,
    }
}

/// Bytes that came from a party, and none to it.
pub fn received(receive: u64) -> agent::Bytes {
    agent::Bytes {
        transmit: 0,
        receive,
    }
}
