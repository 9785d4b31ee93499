//! Administration of the running agent: HTTP over a Unix socket for root, the agent's own user and one configured group.
//! `socket` creates and removes it, `peer` identifies the client, `server` answers, `client` is for the commands.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `GET /log-level` | | the level of the log |
//! | `PUT /log-level` | a level | the same, changed |
//! | `POST /gpu/release` | | for how long the GPUs are released |
//!
//! Each answer is text. An answer with an error status is one line with the reason.

mod client;
mod peer;
mod server;
mod socket;

pub use client::{gpu_release, log_level};
pub use server::serve;
pub use socket::{Opened, Socket, open, probe};

const LOG_LEVEL: &str = "/log-level";
const GPU_RELEASE: &str = "/gpu/release";
