//! The log: every message once to standard error (`text` for people, `json` for machines) and, where that is wanted,
//! to OTLP. `limit` keeps what repeats itself short; the level can be changed while the agent runs.

mod fields;
mod format;
mod limit;
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
    fields::{Fields, Value, metadata},
    trace::span_context,
};
use self::{
    format::{Json, Text},
    limit::Limit,
};
use crate::config::{Config, Log, LogFormat, level_name};

/// Messages of these crates are about themselves; errors and warnings are ours to show all the same.
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

/// The target of messages that whoever watches over security wants to see. No level hides them, so that nobody does
/// anything unseen by changing it first.
pub const SECURITY: &str = "partymeter::security";

/// The target of the spans of rounds. They are no messages: no level hides them.
pub const ROUND: &str = "partymeter::round";

/// The log, once it is under way.
pub struct Logging {
    filter: Handle<EnvFilter, Registry>,
    state: Mutex<State>,
    limit: Arc<Limit>,
}

/// What can change while it is under way.
struct State {
    config: Log,
    /// How often the level was changed. With it no two messages about that are the same, and none is held back.
    changes: u64,
}

impl State {
    fn new(config: Log) -> Mutex<Self> {
        Mutex::new(Self { config, changes: 0 })
    }
}

/// Starts logging, for the whole process and once. `messages` gets every message that is shown, `rounds` the spans with
/// the target [`ROUND`].
///
/// # Errors
/// If something else logs already.
pub fn init(
    config: &Config,
    messages: Option<impl Layer<Registry> + Send + Sync>,
    rounds: Option<impl Layer<Registry> + Send + Sync>,
) -> anyhow::Result<Arc<Logging>> {
    let log = &config.log;
    let (filter, handle) = reload::Layer::new(filter(log)?);
    let limit = Arc::new(Limit::default());
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.event_format(Text).boxed(),
        LogFormat::Json => lines.event_format(Json::new(config)).boxed(),
    };
    let shown = lines
        .and_then(messages)
        .with_filter(Arc::clone(&limit).filter())
        .with_filter(filter);
    let rounds = rounds.with_filter(filter_fn(|metadata| metadata.target() == ROUND));
    Registry::default()
        .with(shown.and_then(rounds))
        .try_init()?;
    Ok(Arc::new(Logging {
        filter: handle,
        state: State::new(*log),
        limit,
    }))
}

impl Logging {
    /// From which level on messages are shown; `None`: nothing is.
    pub fn level(&self) -> Option<Level> {
        self.lock().config.level
    }

    /// Shows messages of that level and above from now on; `None`: none but those about security. Says so before it
    /// takes effect, and why: `cause` is the end of a sentence.
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

    /// Says how often what was held back came again. To be called from time to time.
    pub fn tell_repeated(&self) {
        self.limit.tell();
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
    // The BPF side's messages have its own crate's name as their target.
    filter = filter.add_directive(format!("partymeter_bpf={}", level(config.bpf_level)).parse()?);
    for always in [ROUND, SECURITY] {
        filter = filter.add_directive(format!("{always}=trace").parse()?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests;
