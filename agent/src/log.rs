//! The log: messages go to standard error, as text or as JSON, and by OTLP if configured. `repeat` suppresses repeated
//! messages. The level can change while the agent runs.

mod fields;
mod format;
mod repeat;
mod trace;

use std::{
    fmt::Display,
    io::IsTerminal as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{Level, info};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::filter_fn,
    fmt,
    layer::SubscriberExt as _,
    reload::{self, Handle},
    util::SubscriberInitExt as _,
};

pub use self::{
    fields::{Fields, LogValue, metadata},
    trace::span_context,
};
use self::{
    format::{Json, Text},
    repeat::Repeats,
};
use crate::config::{Config, Log, LogFormat, level_name};

/// Crates of which only warnings and errors are shown.
const QUIET: [&str; 8] = [
    "aya",
    "aya_obj",
    "h2",
    "hyper",
    "hyper_util",
    "rustls",
    "tonic",
    "tower",
];

/// The target of messages about security. No level hides them: otherwise an intruder could lower the level first.
pub const SECURITY: &str = "partymeter::security";

/// The target of the spans of rounds. The level does not apply to spans.
pub const ROUND: &str = "partymeter::round";

/// The running log.
pub struct Logging {
    filter: Handle<EnvFilter, Registry>,
    state: Mutex<State>,
    repeats: Arc<Repeats>,
}

/// What can change while the agent runs.
struct State {
    config: Log,
    /// Number of changes of the level. It is in their messages, so that none counts as a repetition.
    changes: u64,
}

impl State {
    fn new(config: Log) -> Mutex<Self> {
        Mutex::new(Self { config, changes: 0 })
    }
}

/// Starts logging for the whole process. `messages` gets every message that is shown, `rounds` the spans with the target
/// [`ROUND`].
///
/// # Errors
/// If logging has been started already.
pub fn init(
    config: &Config,
    messages: Option<impl Layer<Registry> + Send + Sync>,
    rounds: Option<impl Layer<Registry> + Send + Sync>,
) -> anyhow::Result<Arc<Logging>> {
    let log = &config.log;
    let (filter, handle) = reload::Layer::new(filter(log)?);
    let repeats = Arc::new(Repeats::default());
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.event_format(Text).boxed(),
        LogFormat::Json => lines.event_format(Json::new(config)).boxed(),
    };
    let shown = lines
        .and_then(messages)
        .with_filter(Arc::clone(&repeats).filter())
        .with_filter(filter);
    let rounds = rounds.with_filter(filter_fn(|metadata| metadata.target() == ROUND));
    Registry::default()
        .with(shown.and_then(rounds))
        .try_init()?;
    Ok(Arc::new(Logging {
        filter: handle,
        state: State::new(*log),
        repeats,
    }))
}

impl Logging {
    /// The least severe level that is shown; `None`: only messages about security are.
    pub fn level(&self) -> Option<Level> {
        self.lock().config.level
    }

    /// Changes the level; `None` hides all but messages about security. Logs the change, with `cause` as the end of the
    /// sentence, before it takes effect.
    ///
    /// # Errors
    /// If logging has ended.
    pub fn set_level(&self, level: Option<Level>, cause: &dyn Display) -> anyhow::Result<()> {
        let mut state = self.lock();
        let before = state.config.level;
        if before == level {
            return Ok(());
        }
        let next = Log {
            level,
            ..state.config
        };
        let filter = filter(&next)?;
        state.changes += 1;
        info!(
            target: SECURITY,
            change = state.changes,
            security.level = "info",
            "log.level changes from {} to {}: {cause}",
            level_name(before),
            level_name(level)
        );
        self.filter.reload(filter)?;
        state.config = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs how often suppressed messages were repeated. To be called periodically.
    pub fn report_repeated(&self) {
        self.repeats.report();
    }
}

fn filter(config: &Log) -> anyhow::Result<EnvFilter> {
    let level = |level: Option<Level>| level.map_or("off".to_owned(), |it| it.to_string());
    let mut filter = EnvFilter::new(level(config.level));
    if config.level > Some(Level::WARN) {
        for name in QUIET {
            filter = filter.add_directive(format!("{name}=warn").parse()?);
        }
    }
    // The target of the BPF programs' messages is the name of their crate.
    filter = filter.add_directive(format!("partymeter_bpf={}", level(config.bpf_level)).parse()?);
    for always in [ROUND, SECURITY] {
        filter = filter.add_directive(format!("{always}=trace").parse()?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests;
