//! Passes connections to the ledger's thread as they end, so that a slow disk delays nothing else.

use std::{
    fmt::Display,
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
    Owner, files,
    look::{look, unusable},
    worker::{Item, LedgerWorker},
};
use crate::{
    config::Config,
    safe_dir,
    sample::{ConnectionObserver, ConnectionRecord},
};

/// How many connections the queue holds.
const QUEUE_LENGTH: usize = 65_536;
/// How long the agent waits at its end for connections that are not written yet.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Accepts connections and never blocks.
pub struct Writer {
    to: SyncSender<Item>,
    wants_open: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Writer {
    /// Creates the directory and starts the thread; `None` if no ledger is configured.
    ///
    /// # Errors
    /// If the directory cannot be written to, or the thread cannot be started.
    pub fn start(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(limits) = &config.ledger else {
            return Ok(None);
        };
        let place = limits.path.display();
        let failed = |error: &dyn Display| anyhow::Error::msg(unusable(&limits.path, error));
        if let Some(limit) = look(limits).map_err(anyhow::Error::msg)? {
            warn!("{limit}");
        }
        // The ledger is evidence: nobody else may add files or replace the directory.
        safe_dir::open_or_create(&limits.path, 0o700).map_err(|error| failed(&error))?;
        let counts = Arc::<Counts>::default();
        let wants_open = Arc::<AtomicBool>::default();
        let owner = Owner {
            node: config.node.clone(),
            party_id: config.party_id.clone(),
        };
        let lock = files::lock(&limits.path).map_err(|error| failed(&error))?;
        let worker = LedgerWorker::open(limits.clone(), owner, Arc::clone(&counts));
        let mut worker = worker.map_err(|error| failed(&error))?;
        let (to, from) = sync_channel(QUEUE_LENGTH);
        let wants = Arc::clone(&wants_open);
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                worker.run(&from, &wants);
                drop(lock);
            })?;
        info!("the ledger of connections is in {place}");
        Ok(Some(Self {
            to,
            wants_open,
            counts,
        }))
    }

    /// The counts, also for after the writer has been given away.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

impl ConnectionObserver for Writer {
    fn ended(&mut self, connection: &ConnectionRecord) {
        self.counts.accept();
        let item = Item::Ended(Box::new(connection.clone()));
        if self.to.try_send(item).is_err() {
            self.counts.overflow();
        }
    }

    fn wants_open(&self) -> bool {
        self.wants_open.load(Ordering::Relaxed)
    }

    fn open(&mut self, connections: Vec<ConnectionRecord>) {
        // If the queue is full, the request stays.
        if self.to.try_send(Item::Open(connections)).is_ok() {
            self.wants_open.store(false, Ordering::Relaxed);
        }
    }
}

/// Waits at the end of the agent for connections that are not written yet, and logs how many never will be.
pub fn finish(counts: &Counts) {
    let end = Instant::now() + SHUTDOWN_TIMEOUT;
    loop {
        let now = counts.get();
        if now.pending == 0 {
            return;
        }
        if !now.is_writable || Instant::now() > end {
            let pending = now.pending;
            warn!("{pending} connections are not in the ledger at the end of the agent");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
