//! What changes while the agent runs: the configuration is read again on SIGHUP and when its file changes, and host
//! names are looked up again and again. Parties and protocols follow at the network source's next round; what is
//! fixed at the start stays, and says so. A file that is wrong changes nothing.

mod changes;
mod watch;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    signal::unix::Signal,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{error, info, warn};

use self::watch::Watch;
use crate::{
    config::{self, Config, Options, Problem, Surroundings},
    input,
    log::Logging,
    sample::Configuration,
    source::network::{
        layout::Layout,
        resolve::{Answer, Book, News, Resolved, ask, shared},
        wanted::{Plan, Wanted},
    },
};

/// How often the file is read without being told that it has changed: some file systems do not tell.
const LOOK: Duration = Duration::from_secs(10);
/// A file is taken in once it reads the same twice, so long apart: an editor may still be writing it.
const SETTLED: Duration = Duration::from_millis(200);
/// An address that a host name has lost is kept for this many intervals.
const GRACE: u32 = 10;

/// How the configuration is doing, for the metrics page.
#[derive(Debug)]
pub struct Status(Mutex<Configuration>);

impl Status {
    /// At the start, with a configuration that has just been taken in.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Configuration {
            success: true,
            taken: SystemTime::now(),
        })))
    }

    /// Now.
    pub fn get(&self) -> Configuration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, success: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.success = success;
        if success {
            state.taken = SystemTime::now();
        }
    }
}

/// Reads again what may change.
pub struct Reload {
    options: Options,
    /// The file, if it can be read again.
    file: Option<PathBuf>,
    config: Config,
    /// Whether there was a protocol on UDP at the start.
    udp: bool,
    layout: Layout,
    book: Book,
    wanted: Arc<Wanted>,
    status: Arc<Status>,
    logging: Arc<Logging>,
    /// What the file was when it was last looked at.
    seen: Option<Contents>,
    /// Addresses of two parties, as they have been told.
    shared: BTreeSet<String>,
}

/// A file's bytes, or why it could not be read.
type Contents = Result<Vec<u8>, String>;

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
        // A pipe has been read once and for all; reading it again would wait, or find nothing.
        let again = |path: &PathBuf| std::fs::metadata(path).map_or(true, |it| it.is_file());
        let file = options.file.clone().filter(again);
        Self {
            seen: file.as_deref().map(contents),
            file,
            options,
            config: config.clone(),
            udp: config.wants_udp(),
            layout: plan.layout.clone(),
            book: Book::default(),
            shared: BTreeSet::new(),
            wanted: Wanted::new(plan),
            status: Status::new(),
            logging: Arc::clone(logging),
        }
    }

    /// Before the start: what the configuration's host names were found to be.
    pub fn found(&mut self, answers: &[Answer]) {
        self.book.take(answers, Instant::now(), grace(&self.config));
        self.want();
    }

    /// What the network source is to follow.
    pub fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// How the configuration is doing.
    pub fn status(&self) -> Arc<Status> {
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
            tokio::select! {
                _ = hangup.recv() => self.reload(Cause::Signal).await,
                () = watch.changed() => self.reload(Cause::File).await,
                _ = look.tick() => self.reload(Cause::File).await,
                _ = resolve.tick() => self.look_up().await,
            }
        }
    }

    async fn reload(&mut self, cause: Cause) {
        let Some(path) = self.file.clone() else {
            if cause == Cause::Signal {
                info!("SIGHUP: there is no configuration file that can be read again");
            }
            return;
        };
        let Some(now) = self.read(path.clone(), cause).await else {
            return;
        };
        self.seen = Some(now.clone());
        let result = match now {
            Ok(bytes) => self.parse(&path, bytes),
            // Asked for the problem with its mend.
            Err(_) => config::resolve(&self.options, &Surroundings::of_this_machine()),
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
    async fn read(&self, path: PathBuf, cause: Cause) -> Option<Contents> {
        let read = async || {
            let path = path.clone();
            spawn_blocking(move || contents(&path)).await.ok()
        };
        let mut now = read().await?;
        if cause == Cause::Signal {
            return Some(now);
        }
        while self.seen.as_ref() != Some(&now) {
            sleep(SETTLED).await;
            let again = read().await?;
            // An empty file is a valid configuration, and more often one that is about to be written.
            if again == now && again.as_ref() != Ok(&Vec::new()) {
                return Some(now);
            }
            if again == now {
                return None;
            }
            now = again;
        }
        None
    }

    fn parse(&self, path: &std::path::Path, bytes: Vec<u8>) -> Result<Config, Vec<Problem>> {
        let around = Surroundings::of_this_machine();
        match String::from_utf8(bytes) {
            Ok(text) => config::read(&path.display().to_string(), &text, &self.options, &around),
            Err(_) => config::resolve(&self.options, &around),
        }
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
        if let Some(answers) = answers_of(next.clone()).await {
            self.tell(&answers, &next);
        }
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

    async fn look_up(&mut self) {
        let Some(answers) = answers_of(self.config.clone()).await else {
            return;
        };
        let before = self.book.resolved();
        self.tell(&answers, &self.config.clone());
        if self.book.resolved() != before {
            self.want();
        }
    }

    fn tell(&mut self, answers: &[Answer], config: &Config) {
        let news: Vec<News> = self.book.take(answers, Instant::now(), grace(config));
        for news in &news {
            if news.is_bad() {
                warn!("{news}");
            } else {
                info!("{news}");
            }
        }
    }

    fn want(&mut self) {
        let resolved = self.book.resolved();
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

/// On a thread of its own: a resolver may take its time.
async fn answers_of(config: Config) -> Option<Vec<Answer>> {
    if !config.network.enabled {
        return None;
    }
    spawn_blocking(move || ask(&config)).await.ok()
}

fn contents(path: &std::path::Path) -> Contents {
    input::file(path, input::LARGEST).map_err(|error| error.to_string())
}

fn grace(config: &Config) -> Duration {
    config.network.resolve_interval * GRACE
}
