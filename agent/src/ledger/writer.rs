//! Takes connections as they end and hands them to a thread of its own, so that a slow disk delays nothing but this.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing::{info, warn};

pub use super::status::Counts;
use super::{
    Owner,
    book::{Book, Item},
    files,
};
use crate::{
    config::Config,
    safe_dir,
    sample::{Connection, Witness},
};

/// How many connections may wait for the thread.
const WAITING: usize = 65_536;
/// How long the end of the agent may wait for what is not yet written.
const LAST: Duration = Duration::from_secs(2);

/// Takes connections in and never waits.
pub struct Writer {
    to: SyncSender<Item>,
    wants_open: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Writer {
    /// Makes the directory and starts the thread; `None` where no ledger is wanted.
    ///
    /// # Errors
    /// When the directory cannot be written to, or the operating system has no thread left.
    pub fn start(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(wanted) = &config.network.ledger else {
            return Ok(None);
        };
        let place = wanted.directory.display();
        let failed = |error: &dyn Error| {
            anyhow::anyhow!(
                "network.ledger: cannot write to {place}: {error}; name a directory that can be made"
            )
        };
        // It is evidence: nobody else may put files there, or another directory in its place.
        safe_dir::open_or_create(&wanted.directory, 0o700).map_err(|error| failed(&error))?;
        let counts = Arc::<Counts>::default();
        let wants_open = Arc::<AtomicBool>::default();
        let owner = Owner {
            node: config.node.clone(),
            party_id: config.party_id.clone(),
        };
        let lock = files::lock(&wanted.directory).map_err(|error| failed(&error))?;
        let book = Book::open(wanted.clone(), owner, Arc::clone(&counts));
        let mut book = book.map_err(|error| failed(&error))?;
        let (to, from) = sync_channel(WAITING);
        let wants = Arc::clone(&wants_open);
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                book.keep(&from, &wants);
                drop(lock);
            })?;
        info!("the ledger of connections is in {place}");
        Ok(Some(Self {
            to,
            wants_open,
            counts,
        }))
    }

    /// How it is doing, while it is with another.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

impl Witness for Writer {
    fn ended(&mut self, connection: &Connection) {
        self.counts.accept();
        let item = Item::Ended(Box::new(connection.clone()));
        if self.to.try_send(item).is_err() {
            self.counts.overflow();
        }
    }

    fn wants_open(&self) -> bool {
        self.wants_open.load(Ordering::Relaxed)
    }

    fn open(&mut self, connections: Vec<Connection>) {
        // Where there is no room, it is asked again.
        if self.to.try_send(Item::Open(connections)).is_ok() {
            self.wants_open.store(false, Ordering::Relaxed);
        }
    }
}

/// At the end of the agent: waits a little for what is not yet written, and says what never will be.
pub fn finish(counts: &Counts) {
    let end = Instant::now() + LAST;
    loop {
        let now = counts.get();
        if now.pending == 0 {
            return;
        }
        if !now.is_writable || Instant::now() > end {
            let pending = now.pending;
            warn!("the agent ends with {pending} connections that are not in the ledger");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
