//! What leaves the agent: `prometheus` writes a snapshot down, `http` serves it.

pub mod http;
pub mod prometheus;
