//! What changes while the agent runs: the configuration is reloaded on SIGHUP and when its file changes, and host names
//! are looked up periodically. The network source applies new parties and protocols in its next round; settings that
//! need a restart are logged. A file with errors changes nothing. All of this runs on the thread that serves the metrics
//! page and never blocks it: other threads read and parse the file and look up names.

mod changes;
mod watch;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::Signal,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{error, info, warn};

use self::watch::Watch;
use crate::{
    config::{self, Config, ConfigError, HostEnv, Options},
    log::Logging,
    sample::reload_status::ReloadStatus,
    source::network::{
        desired_state::{DesiredState, DesiredStateCell},
        layout::Layout,
        resolve::{self, Answer, DnsCache, Resolved, Resolver, shared_addresses},
    },
};

/// How often the file is compared with what it was.
const POLL: Duration = Duration::from_secs(2);
/// Answers of the resolver that arrive within this time are applied together.
const TOGETHER: Duration = Duration::from_millis(100);
/// An address that a host name has lost is kept for this many intervals.
const GRACE: u32 = 10;

/// Reloads what may change.
pub struct Reload {
    options: Arc<Options>,
    /// The file, if it can be read again.
    file: Option<Watch>,
    config: Config,
    /// Whether there was a protocol on UDP at the start.
    udp: bool,
    layout: Layout,
    resolver: Resolver,
    dns_cache: DnsCache,
    wanted: Arc<DesiredStateCell>,
    status: Arc<ReloadStatus>,
    logging: Arc<Logging>,
    /// Addresses of two parties, as they were logged.
    shared: BTreeSet<String>,
}

/// Why the file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// SIGHUP.
    Signal,
    /// The time for it has come.
    Poll,
}

impl Reload {
    /// For an agent that runs with `config`, which has just come from `options`.
    ///
    /// `layout` has its parties and protocols.
    pub fn new(options: Options, config: &Config, layout: Layout, logging: &Arc<Logging>) -> Self {
        let plan = DesiredState {
            config: config.clone(),
            resolved: Resolved::new(),
            layout,
        };
        Self {
            file: Watch::new(&options),
            options: Arc::new(options),
            config: config.clone(),
            udp: config.wants_udp(),
            layout: plan.layout.clone(),
            resolver: Resolver::default(),
            dns_cache: DnsCache::default(),
            shared: BTreeSet::new(),
            wanted: DesiredStateCell::new(plan),
            status: Arc::default(),
            logging: Arc::clone(logging),
        }
    }

    /// Sets what the host names were found to be before the start, and who answers from now on.
    pub fn found(&mut self, answers: &[Answer], resolver: Resolver) {
        self.resolver = resolver;
        self.dns_cache
            .take(answers, Instant::now(), grace(&self.config));
        self.publish();
    }

    /// The configuration that the network source applies.
    pub fn wanted(&self) -> Arc<DesiredStateCell> {
        Arc::clone(&self.wanted)
    }

    /// How reloads have gone.
    pub fn status(&self) -> Arc<ReloadStatus> {
        Arc::clone(&self.status)
    }

    /// Waits for SIGHUP, for changes of the file, and for the time to look host names up; never ends.
    pub async fn run(mut self, mut hangup: Signal) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resolve = interval(self.config.network.resolve_interval);
        resolve.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate, and the names have just been looked up.
        resolve.tick().await;
        loop {
            let cause = tokio::select! {
                _ = hangup.recv() => Cause::Signal,
                _ = poll.tick() => {
                    // A name that is overdue wakes nobody.
                    self.take_answers();
                    Cause::Poll
                }
                _ = resolve.tick() => {
                    resolve::ask(&self.config, &self.resolver);
                    continue;
                }
                () = self.resolver.answered() => {
                    sleep(TOGETHER).await;
                    self.take_answers();
                    continue;
                }
            };
            self.reload(cause).await;
        }
    }

    async fn reload(&mut self, cause: Cause) {
        let Some(file) = &mut self.file else {
            if cause == Cause::Signal {
                info!("SIGHUP: there is no configuration file that can be read again");
            }
            return;
        };
        let contents = match cause {
            Cause::Signal => Some(file.read().await),
            Cause::Poll => file.changed().await,
        };
        let path = file.path().to_owned();
        let config = match contents {
            None => return,
            Some(Ok(text)) => self.parse(&path, text).await,
            Some(Err(error)) => Err(vec![error]),
        };
        let result = match config {
            Ok(config) => self.apply(config, cause).await,
            Err(errors) => Err(errors),
        };
        if let Err(errors) = &result {
            for error in errors {
                error!("{error}");
            }
            let count: usize = errors.iter().map(|error| error.count).sum();
            let errors = if count == 1 { "error" } else { "errors" };
            error!("reload rejected ({count} {errors}); keeping the previous configuration");
        }
        self.status.set(result.is_ok());
    }

    async fn parse(&self, path: &Path, text: String) -> Result<Config, Vec<ConfigError>> {
        let (name, options) = (path.display().to_string(), Arc::clone(&self.options));
        let parse = move || {
            let host = HostEnv::current();
            config::read(&name, &text, &options, &host)
        };
        // A panic would end the agent: nothing here panics.
        let parsed = spawn_blocking(parse).await;
        parsed.unwrap_or_else(|_| Err(vec![config::not_answered(path, watch::READ)]))
    }

    /// Applies a new configuration, except for what needs a restart.
    async fn apply(&mut self, new: Config, cause: Cause) -> Result<(), Vec<ConfigError>> {
        let (next, fixed) = changes::merge(&self.config, new, self.udp);
        for line in fixed {
            warn!("{line}");
        }
        let mut layout = self.layout.clone();
        layout
            .extend(&next)
            .map_err(|full| vec![ConfigError::needs_restart("", full.to_string())])?;
        let automatic = next.network.max_auto_parties;
        if next.parties.is_empty() && automatic > layout.auto_capacity {
            let room = layout.auto_capacity;
            warn!(
                "network.max_auto_parties: keeping {room}; help: restart the agent to apply {automatic}"
            );
        }
        let level = next.log.level;
        if level != self.logging.level()
            && (cause == Cause::Signal || level != self.config.log.level)
        {
            let cause = "the configuration was reloaded";
            let changed = self.logging.set_level(level, &cause);
            changed.map_err(|error| {
                let what = format!("cannot be changed: {error:#}");
                vec![ConfigError::needs_restart("log.level", what)]
            })?;
        }
        if next == self.config {
            if cause == Cause::Signal || !self.status.get().success {
                info!("configuration reloaded: no changes");
            }
            return Ok(());
        }
        self.wait_for_new_names(&next).await;
        for line in changes::differences(&self.config, &next) {
            info!("{line}");
        }
        info!(
            "configuration reloaded: {} parties, {} protocols",
            next.parties.len(),
            next.protocols.len()
        );
        (self.config, self.layout) = (next, layout);
        self.publish();
        Ok(())
    }

    /// Gives new names a moment to resolve. Those that take longer are applied later.
    async fn wait_for_new_names(&mut self, next: &Config) {
        resolve::ask(next, &self.resolver);
        self.dns_cache.retain(next);
        let answered = async {
            while self.dns_cache.has_unseen_names(next) {
                self.resolver.answered().await;
                self.log_answers(&resolve::take(next, &self.resolver), next);
            }
        };
        // Names that are late are applied when they are answered.
        let _ = timeout(resolve::RETRY_START_TIMEOUT, answered).await;
    }

    fn take_answers(&mut self) {
        let before = self.dns_cache.resolved();
        let answers = resolve::take(&self.config, &self.resolver);
        self.log_answers(&answers, &self.config.clone());
        if self.dns_cache.resolved() != before {
            self.publish();
        }
    }

    fn log_answers(&mut self, answers: &[Answer], config: &Config) {
        let news = self.dns_cache.take(answers, Instant::now(), grace(config));
        let (bad, good): (Vec<_>, Vec<_>) = news.iter().partition(|news| news.is_failure());
        let lines = |news: Vec<&resolve::DnsEvent>| {
            resolve::truncated(news.iter().map(ToString::to_string).collect())
        };
        for line in lines(bad) {
            warn!("{line}");
        }
        for line in lines(good) {
            info!("{line}");
        }
    }

    fn publish(&mut self) {
        let resolved = self.dns_cache.resolved();
        let shared = shared_addresses(&self.config, &resolved);
        for line in shared.difference(&self.shared) {
            warn!("{line}");
        }
        self.shared = shared;
        self.wanted.set(DesiredState {
            config: self.config.clone(),
            resolved,
            layout: self.layout.clone(),
        });
    }
}

fn grace(config: &Config) -> Duration {
    config.network.resolve_interval * GRACE
}
