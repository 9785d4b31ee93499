//! Administration of the running agent: HTTP over a Unix socket that only root, the agent's own user and one configured
//! group may use. `socket` makes and removes it, `peer` says who is on the other side, `server` answers, `client` asks
//! for the verbs of the command line.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `GET /log-level` | | from which level on messages are logged |
//! | `PUT /log-level` | a level | the same, changed |
//! | `POST /gpu/release` | | for how long the GPUs are given up |
//!
//! Each answer is text; a status that is no success has one line that says why.

mod client;
mod peer;
mod server;
mod socket;

pub use client::{gpu_release, log_level};
pub use server::serve;
pub use socket::{Opened, Socket, open, probe};

/// The routes.
const LOG_LEVEL: &str = "/log-level";
const GPU_RELEASE: &str = "/gpu/release";
