//! What changes while the agent runs: the configuration is read again on SIGHUP and when its file changes, and host
//! names are looked up again and again. Parties and protocols follow at the network source's next round; what is
//! fixed at the start stays, and says so. A file that is wrong changes nothing. This runs on the thread that serves the
//! metrics page, and never blocks it: the file is read and parsed on other threads, host names are looked up on others
//! still.

mod changes;
mod watch;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::Signal,
    sync::Semaphore,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{error, info, warn};

use self::watch::Watch;
use crate::{
    config::{self, Config, Options, Problem, Surroundings},
    finding::Finding,
    log::Logging,
    sample::reload_status::ReloadStatus,
    source::network::{
        layout::Layout,
        resolve::{self, Answer, DnsCache, Resolved, Resolver, shared},
        wanted::{Plan, Wanted},
    },
};

/// How often the file is read without being told that it has changed: some file systems do not tell.
const LOOK: Duration = Duration::from_secs(10);
/// A file is taken in once it reads the same twice, so long apart: an editor may still be writing it.
const SETTLED: Duration = Duration::from_millis(200);
/// A file system that has not answered by then does not work. The thread that waits for it is left to itself.
const READ: Duration = Duration::from_secs(10);
/// How many threads may be left to themselves like that.
const READS: usize = 4;
/// Answers of the resolver that come within this time are taken in together.
const TOGETHER: Duration = Duration::from_millis(100);
/// An address that a host name has lost is kept for this many intervals.
const GRACE: u32 = 10;

/// What keeps changes of the file from being noticed at once, if anything does.
pub fn probe(options: &Options) -> Option<Finding> {
    let line = watch::probe(&again(options)?)?;
    Some(Finding::optional("configuration", Err(line)))
}

/// The file, if it can be read again: a pipe has been read once and for all; reading it again would wait, or find nothing.
fn again(options: &Options) -> Option<PathBuf> {
    let again = |path: &PathBuf| std::fs::metadata(path).map_or(true, |it| it.is_file());
    options.file.clone().filter(again)
}

/// Reads again what may change.
pub struct Reload {
    options: Arc<Options>,
    /// The file, if it can be read again.
    file: Option<PathBuf>,
    config: Config,
    /// Whether there was a protocol on UDP at the start.
    udp: bool,
    layout: Layout,
    resolver: Resolver,
    dns_cache: DnsCache,
    wanted: Arc<Wanted>,
    status: Arc<ReloadStatus>,
    logging: Arc<Logging>,
    /// What the file was when it was last looked at.
    seen: Option<Contents>,
    /// Addresses of two parties, as they have been told.
    shared: BTreeSet<String>,
    /// One permit for each thread that may read the file.
    reads: Arc<Semaphore>,
}

/// A file's text, or why it cannot be read.
type Contents = Result<String, Problem>;

/// Why the file is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Somebody asks for it.
    Signal,
    /// It may have changed.
    File,
}

impl Reload {
    /// For an agent that runs with `config`, which has just come from `options`.
    ///
    /// `layout` has its parties and protocols.
    pub fn new(options: Options, config: &Config, layout: Layout, logging: &Arc<Logging>) -> Self {
        let plan = Plan {
            config: config.clone(),
            resolved: Resolved::new(),
            layout,
        };
        let file = again(&options);
        Self {
            seen: file.as_deref().map(config::text_again),
            file,
            options: Arc::new(options),
            config: config.clone(),
            udp: config.wants_udp(),
            layout: plan.layout.clone(),
            resolver: Resolver::default(),
            dns_cache: DnsCache::default(),
            shared: BTreeSet::new(),
            reads: Arc::new(Semaphore::new(READS)),
            wanted: Wanted::new(plan),
            status: Arc::default(),
            logging: Arc::clone(logging),
        }
    }

    /// Before the start: what the configuration's host names were found to be, and who answers from now on.
    pub fn found(&mut self, answers: &[Answer], resolver: Resolver) {
        self.resolver = resolver;
        self.dns_cache
            .take(answers, Instant::now(), grace(&self.config));
        self.want();
    }

    /// What the network source is to follow.
    pub fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// How the configuration is doing.
    pub fn status(&self) -> Arc<ReloadStatus> {
        Arc::clone(&self.status)
    }

    /// Waits for SIGHUP, for changes of the file, and for the time to look host names up; never ends.
    pub async fn run(mut self, mut hangup: Signal) {
        let mut watch = Watch::new(self.file.clone());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resolve = interval(self.config.network.resolve_interval);
        resolve.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, and all has just been read.
        resolve.tick().await;
        loop {
            let cause = tokio::select! {
                _ = hangup.recv() => Cause::Signal,
                () = watch.changed() => Cause::File,
                _ = look.tick() => {
                    // Names that are overdue say nothing.
                    self.take_answers();
                    Cause::File
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
        let Some(path) = self.file.clone() else {
            if cause == Cause::Signal {
                info!("SIGHUP: there is no configuration file that can be read again");
            }
            return;
        };
        let Some(now) = self.read(&path, cause).await else {
            return;
        };
        self.seen = Some(now.clone());
        let result = match now {
            Ok(text) => self.parse(&path, text).await,
            Err(problem) => Err(vec![problem]),
        };
        let result = match result {
            Ok(config) => self.take(config, cause).await,
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        };
        if let Err(problems) = &result {
            for problem in problems {
                error!("{problem}");
            }
            error!(
                "the configuration stays as it was: {} errors",
                problems.len()
            );
        }
        self.status.set(result.is_ok());
    }

    /// The file, if it is to be looked at: it is another than before, and nobody is writing it.
    async fn read(&self, path: &Path, cause: Cause) -> Option<Contents> {
        let mut now = self.contents(path).await;
        if cause == Cause::Signal {
            return Some(now);
        }
        while self.seen.as_ref() != Some(&now) {
            sleep(SETTLED).await;
            let again = self.contents(path).await;
            if again == now {
                // An empty file is a valid configuration, and more often one that is about to be written.
                let is_empty = now.as_ref().is_ok_and(String::is_empty);
                return (!is_empty).then_some(now);
            }
            now = again;
        }
        None
    }

    /// What the file is now.
    async fn contents(&self, path: &Path) -> Contents {
        let Ok(permit) = Arc::clone(&self.reads).try_acquire_owned() else {
            return Err(config::not_answered(path, READ));
        };
        let file = path.to_owned();
        let read = spawn_blocking(move || {
            let contents = config::text_again(&file);
            drop(permit);
            contents
        });
        match timeout(READ, read).await {
            Ok(Ok(contents)) => contents,
            Ok(Err(_)) | Err(_) => Err(config::not_answered(path, READ)),
        }
    }

    async fn parse(&self, path: &Path, text: String) -> Result<Config, Vec<Problem>> {
        let (name, options) = (path.display().to_string(), Arc::clone(&self.options));
        let parse = move || {
            let around = Surroundings::of_this_machine();
            config::read(&name, &text, &options, &around)
        };
        // An error is the end of the agent: nothing here panics.
        let parsed = spawn_blocking(parse).await;
        parsed.unwrap_or_else(|_| Err(vec![config::not_answered(path, READ)]))
    }

    /// Goes over to a new configuration, as far as that can be while the agent runs.
    async fn take(&mut self, new: Config, cause: Cause) -> Result<(), Vec<String>> {
        let (next, fixed) = changes::merge(&self.config, new, self.udp);
        for line in fixed {
            warn!("{line}");
        }
        let mut layout = self.layout.clone();
        layout
            .take_in(&next)
            .map_err(|full| vec![format!("{full}; restart it")])?;
        let automatic = next.network.max_auto_parties;
        if next.parties.is_empty() && automatic > layout.auto_room {
            let room = layout.auto_room;
            warn!(
                "network.max_auto_parties: {automatic} takes effect at a restart, until then {room}"
            );
        }
        let level = next.log.level;
        if level != self.logging.level()
            && (cause == Cause::Signal || level != self.config.log.level)
        {
            let cause = "the configuration was read again";
            let changed = self.logging.set_level(level, &cause);
            changed.map_err(|error| vec![format!("log.level: {error:#}")])?;
        }
        if next == self.config {
            if cause == Cause::Signal || !self.status.get().success {
                info!("configuration read again: nothing has changed");
            }
            return Ok(());
        }
        self.wait_for_new_names(&next).await;
        for line in changes::told(&self.config, &next) {
            info!("{line}");
        }
        info!(
            "configuration read again: {} parties, {} protocols",
            next.parties.len(),
            next.protocols.len()
        );
        (self.config, self.layout) = (next, layout);
        self.want();
        Ok(())
    }

    /// Gives names that are new a moment to resolve. Those that take longer follow later.
    async fn wait_for_new_names(&mut self, next: &Config) {
        resolve::ask(next, &self.resolver);
        self.dns_cache.keep(next);
        let answered = async {
            while self.dns_cache.lacks(next) {
                self.resolver.answered().await;
                self.tell(&resolve::take(next, &self.resolver), next);
            }
        };
        // Late is as good as in time.
        let _ = timeout(resolve::SHORT_PATIENCE, answered).await;
    }

    fn take_answers(&mut self) {
        let before = self.dns_cache.resolved();
        let answers = resolve::take(&self.config, &self.resolver);
        self.tell(&answers, &self.config.clone());
        if self.dns_cache.resolved() != before {
            self.want();
        }
    }

    fn tell(&mut self, answers: &[Answer], config: &Config) {
        let news = self.dns_cache.take(answers, Instant::now(), grace(config));
        let (bad, good): (Vec<_>, Vec<_>) = news.iter().partition(|news| news.is_bad());
        let lines = |news: Vec<&resolve::News>| {
            resolve::first(news.iter().map(ToString::to_string).collect())
        };
        for line in lines(bad) {
            warn!("{line}");
        }
        for line in lines(good) {
            info!("{line}");
        }
    }

    fn want(&mut self) {
        let resolved = self.dns_cache.resolved();
        let shared = shared(&self.config, &resolved);
        for line in shared.difference(&self.shared) {
            warn!("{line}");
        }
        self.shared = shared;
        self.wanted.set(Plan {
            config: self.config.clone(),
            resolved,
            layout: self.layout.clone(),
        });
    }
}

fn grace(config: &Config) -> Duration {
    config.network.resolve_interval * GRACE
}
