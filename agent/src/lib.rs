//! partymeter: what every party's GPUs do, and how many bytes go to and come from each other party.
//!
//! The one way through the code, and the room of each step:
//!
//! ```text
//! args, config      what the user asked for, validated            nothing is started before it is
//! source            reads: `network` (BPF), `host` (sysinfo)      one thread each, never in a scrape
//! sample            raw facts, missing is `None`
//! sampler           the newest sample and the health of each      too old is treated as missing
//! model             the catalog: every metric as data, and how to read it from a snapshot
//! export            `prometheus` encodes a snapshot, `http` serves it
//! agent             wires them; `privilege` drops what is no longer needed
//! text              makes text from elsewhere safe to show; whoever shows such text uses it
//! reload            reads the configuration and the host names again; the sources follow
//! ```
//!
//! Beside the way: `check` looks at what this machine allows, `import` reads the party files of frameworks, `ledger`
//! writes connections down one by one and compares those of two parties, `admin` is where who may change the running
//! agent does so. `manual` is what the help and the manual pages say beyond the options. `safe_dir` checks directories that are trusted.
//!
//! The kernel's half of `network` is the crate `agent-ebpf`.

pub mod admin;
pub mod agent;
pub mod args;
pub mod backoff;
pub mod check;
pub mod config;
pub mod export;
pub mod finding;
pub mod import;
pub mod input;
pub mod ledger;
pub mod limits;
pub mod lock;
pub mod log;
pub mod manual;
pub mod model;
pub mod privilege;
pub mod reload;
pub mod safe_dir;
pub mod sample;
pub mod sampler;
pub mod source;
pub mod text;
pub mod token_bucket;

/// What the user wrote cannot be run with: a line for each problem.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);
