//! The log, on standard error: lines for people, or JSON objects for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::{
    EnvFilter,
    fmt::{self, time::SystemTime},
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// Messages of these crates are about themselves; errors and warnings are ours to show all the same.
const QUIET: [&str; 3] = ["aya", "aya_obj", "hyper"];

/// Starts logging, for the whole process and once.
///
/// # Errors
/// If something else logs already.
pub fn init(config: &Log) -> anyhow::Result<()> {
    let level = |level: Option<tracing::Level>| level.map_or("off".to_owned(), |it| it.to_string());
    let mut filter = EnvFilter::new(level(config.level));
    for name in QUIET {
        filter = filter.add_directive(format!("{name}=warn").parse()?);
    }
    // The BPF side's messages have its own crate's name as their target.
    filter = filter.add_directive(format!("partymeter_bpf={}", level(config.kernel)).parse()?);
    let lines = fmt::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => lines.with_target(false).finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
