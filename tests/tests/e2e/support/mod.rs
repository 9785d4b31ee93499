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
