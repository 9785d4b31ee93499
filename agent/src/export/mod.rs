//! What leaves the agent: `prometheus` writes a snapshot down, in a `format`; `http` serves it, on `timed` connections.

mod format;
pub mod http;
pub mod otlp;
mod progress;
pub mod prometheus;
mod timed;

pub use format::Format;
