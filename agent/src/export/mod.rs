//! What leaves the agent: `prometheus` writes a snapshot down, in a `format`; `http` serves it.

mod format;
pub mod http;
pub mod prometheus;

pub use format::Format;
