//! Writes connections down as they end, on a thread of its own: a slow disk delays nothing but this.
//!
//! Files are begun anew now and then, so that what is too much or too old goes a file at a time.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use super::{ENDED, OPEN, Owner, is_ended};
use crate::{
    config::{Config, Ledger as Wanted},
    safe_dir,
    sample::{Connection, Ledger, Witness},
};

/// How many connections may wait to be written.
const WAITING: usize = 65_536;
/// How often to see whether somebody wants the open ones, or something is too old.
const LOOK: Duration = Duration::from_secs(1);
/// One part of so many of what may be kept goes at a time.
const PARTS: u32 = 16;

/// How it is doing, for who asks.
#[derive(Debug, Default)]
pub struct Counts {
    written: AtomicU64,
    overflow: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Now.
    pub fn get(&self) -> Ledger {
        Ledger {
            written: self.written.load(Ordering::Relaxed),
            overflow: self.overflow.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// Takes connections in and never waits.
pub struct Writer {
    to: SyncSender<Item>,
    wants_open: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

enum Item {
    Ended(Box<Connection>),
    Open(Vec<Connection>),
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
        let mut book = Book {
            wanted: wanted.clone(),
            owner: Owner {
                node: config.node.clone(),
                party_id: config.party_id.clone(),
            },
            file: None,
            counts: Arc::clone(&counts),
            is_failing: false,
        };
        book.file = Some(book.begin().map_err(|error| failed(&error))?);
        let (to, from) = sync_channel(WAITING);
        let wants = Arc::clone(&wants_open);
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || book.keep(&from, &wants))?;
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
        let item = Item::Ended(Box::new(connection.clone()));
        if let Err(TrySendError::Full(_)) = self.to.try_send(item) {
            self.counts.overflow.fetch_add(1, Ordering::Relaxed);
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

/// The files.
struct Book {
    wanted: Wanted,
    owner: Owner,
    file: Option<Segment>,
    counts: Arc<Counts>,
    is_failing: bool,
}

/// The file that is written to.
struct Segment {
    out: BufWriter<File>,
    begun: Instant,
    length: u64,
}

impl Book {
    fn keep(&mut self, from: &Receiver<Item>, wants_open: &AtomicBool) {
        let mut looked = None;
        loop {
            let now = Instant::now();
            if looked.is_none_or(|it| now.saturating_duration_since(it) >= LOOK) {
                looked = Some(now);
                self.renew(now);
                if !self.wanted.directory.join(OPEN).exists() {
                    wants_open.store(true, Ordering::Relaxed);
                }
            }
            let item = if let Ok(item) = from.try_recv() {
                item
            } else {
                // Nothing waits: whoever reads now sees all that there is.
                let flushed = self.file.as_mut().map(|file| file.out.flush());
                self.note(flushed.unwrap_or(Ok(())), 0);
                match from.recv_timeout(LOOK) {
                    Ok(item) => item,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            match item {
                Item::Ended(connection) => {
                    let outcome = self.write(&connection);
                    self.note(outcome, 1);
                }
                Item::Open(connections) => {
                    let outcome = self.write_open(&connections);
                    self.note(outcome, 0);
                }
            }
        }
    }

    /// Says once that it fails, and once that it goes on.
    fn note(&mut self, outcome: io::Result<()>, connections: u64) {
        let place = self.wanted.directory.display();
        match outcome {
            Ok(()) => {
                self.counts
                    .written
                    .fetch_add(connections, Ordering::Relaxed);
                if self.is_failing && connections > 0 {
                    info!("the ledger in {place} is written again");
                    self.is_failing = false;
                }
            }
            Err(error) => {
                self.counts.failed.fetch_add(connections, Ordering::Relaxed);
                if !self.is_failing {
                    warn!(
                        "cannot write the ledger in {place}: {error}; connections are left out until it can"
                    );
                }
                self.is_failing = true;
                // What is half written stays where it is, a line that is none.
                self.file = None;
            }
        }
    }

    fn write(&mut self, connection: &Connection) -> io::Result<()> {
        let mut line = Vec::new();
        self.owner.write(connection, &mut line)?;
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin()?,
        };
        file.out.write_all(&line)?;
        file.length += line.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    fn write_open(&self, connections: &[Connection]) -> io::Result<()> {
        let whole = self.wanted.directory.join(OPEN);
        let part = whole.with_extension("part");
        // One that was not finished may be there.
        drop(fs::remove_file(&part));
        let mut out = BufWriter::new(create(&part)?);
        for connection in connections {
            self.owner.write(connection, &mut out)?;
        }
        out.flush()?;
        fs::rename(part, whole)
    }

    /// Begins another file where this one is long or old enough, and removes what is too much or too old.
    fn renew(&mut self, now: Instant) {
        let most = u64::from(self.wanted.mebibytes) << 20;
        let is_over = |file: &Segment| {
            let age = now.saturating_duration_since(file.begun);
            file.length > 0
                && (file.length >= most / u64::from(PARTS) || age >= self.wanted.age / PARTS)
        };
        if self.file.as_ref().is_some_and(is_over) {
            let outcome = self.begin().map(|file| self.file = Some(file));
            self.note(outcome, 0);
        }
        if let Err(error) = remove(&self.wanted, most - most / u64::from(PARTS)) {
            self.note(Err(error), 0);
        }
    }

    fn begin(&self) -> io::Result<Segment> {
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let name = format!("{}{}{}", ENDED.0, now.replace(':', ""), ENDED.1);
        Ok(Segment {
            out: BufWriter::new(create(&self.wanted.directory.join(name))?),
            begun: Instant::now(),
            length: 0,
        })
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Removes the oldest files while all are longer than `most` bytes, and those that nothing was added to for too long.
fn remove(wanted: &Wanted, most: u64) -> io::Result<()> {
    let mut all = ended(&wanted.directory)?;
    // Never the one that is written to, nor what somebody else has put there.
    all.pop();
    let own = nix::unistd::geteuid().as_raw();
    all.retain(|(_, data)| data.is_file() && data.uid() == own);
    let mut sum: u64 = all.iter().map(|(_, data)| data.len()).sum();
    for (path, data) in all {
        let age = data.modified()?.elapsed().unwrap_or_default();
        if sum > most || age > wanted.age {
            fs::remove_file(path)?;
            sum -= data.len();
        }
    }
    Ok(())
}

/// The files of ended connections, the oldest first.
pub(super) fn ended(directory: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_ended) {
            all.push((entry.path(), entry.metadata()?));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agent_ebpf::{End, Role};

    use super::*;

    fn connection() -> Connection {
        Connection {
            party: "1".into(),
            protocol: "test".into(),
            role: Role::Initiator,
            local: ([10, 0, 0, 1], 40_000).into(),
            remote: ([10, 0, 0, 2], 7000).into(),
            began: SystemTime::now(),
            ended: SystemTime::now(),
            end: Some(End::Fin),
            adopted: false,
            transmit: 1,
            receive: 2,
            retransmit: 0,
            smoothed_rtt: None,
        }
    }

    #[test]
    fn the_oldest_go_when_there_is_too_much() {
        let name = format!("partymeter-ledger-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let mut book = Book {
            wanted: Wanted {
                directory: directory.clone(),
                mebibytes: 1,
                age: Duration::from_hours(1),
            },
            owner: Owner {
                node: "node".to_owned(),
                party_id: None,
            },
            file: None,
            counts: Arc::default(),
            is_failing: false,
        };
        let connection = connection();
        let mut most = 0;
        for _ in 0..200 {
            for _ in 0..100 {
                let outcome = book.write(&connection);
                book.note(outcome, 1);
            }
            book.renew(Instant::now());
            let all = ended(&directory).unwrap();
            most = most.max(all.iter().map(|(_, data)| data.len()).sum());
        }
        let left = ended(&directory).unwrap().len();
        fs::remove_dir_all(directory).unwrap();
        assert_eq!(
            (book.counts.get().written, book.counts.get().failed),
            (20_000, 0)
        );
        let whole = 1 << 20;
        assert!(
            most > whole / 2 && most <= whole,
            "{most} bytes in {left} files"
        );
    }
}
