//! Writes connections into files: in pieces, so that what is too much or too old goes a file at a time; and where it
//! cannot, keeps a few and tries again.

use std::{
    fs::{self, DirBuilder},
    io::{self, BufWriter, Write as _},
    os::unix::fs::DirBuilderExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use super::{
    Owner, files,
    files::OPEN,
    segment::{Segment, whole_lines},
    status::{Counts, Task},
};
use crate::{config::Ledger as Wanted, sample::Connection};

/// How often to write what there is, to try again what failed, and to see whether somebody wants the open ones or
/// something is too old.
const LOOK: Duration = Duration::from_secs(1);
/// One part of so many of what may be kept goes at a time.
const PARTS: u32 = 16;
/// So much is written at once. Unit: bytes.
const BATCH: usize = 64 << 10;
/// So much is kept while it cannot be written: some 800 connections. Unit: bytes.
const HOLD: usize = 256 << 10;

/// What the thread is given.
pub(super) enum Item {
    /// A connection that has ended.
    Ended(Box<Connection>),
    /// All that are open.
    Open(Vec<Connection>),
}

/// The files of one ledger.
pub(super) struct Book {
    wanted: Wanted,
    owner: Owner,
    /// What is written to; `None`: it could not be begun, or is gone.
    file: Option<Segment>,
    /// Whole lines that are in no file yet.
    pending: Vec<u8>,
    counts: Arc<Counts>,
    clock: Clock,
}

impl Book {
    /// Begins a file.
    pub(super) fn open(wanted: Wanted, owner: Owner, counts: Arc<Counts>) -> io::Result<Self> {
        let mut book = Self {
            wanted,
            owner,
            file: None,
            pending: Vec::new(),
            counts,
            clock: Clock::new(),
        };
        match book.begin() {
            // A state that can end, and nothing that is configured wrong.
            Err(error) if is_full(&error) => book.note(Task::Write, Err(error)),
            outcome => outcome?,
        }
        Ok(book)
    }

    /// Writes what comes, until nothing can come any more.
    pub(super) fn keep(&mut self, from: &Receiver<Item>, wants_open: &AtomicBool) {
        let mut looked: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if looked.is_none_or(|it| now.saturating_duration_since(it) >= LOOK) {
                looked = Some(now);
                self.renew(now);
                self.flush();
                // Not `exists`, which would follow a link.
                let is_there = fs::symlink_metadata(self.wanted.directory.join(OPEN)).is_ok();
                if !is_there && !self.counts.is_failing(Task::Write) {
                    wants_open.store(true, Ordering::Relaxed);
                }
            }
            let item = if let Ok(item) = from.try_recv() {
                item
            } else {
                // Nothing waits: whoever reads now sees all that there is.
                if !self.counts.is_failing(Task::Write) {
                    self.flush();
                }
                match from.recv_timeout(LOOK) {
                    Ok(item) => item,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return self.flush(),
                }
            };
            match item {
                Item::Ended(connection) => self.take(&connection),
                Item::Open(connections) => {
                    let outcome = self.write_open(&connections);
                    self.note(Task::List, outcome);
                }
            }
        }
    }

    /// Takes a connection, which is counted as written once it is.
    fn take(&mut self, connection: &Connection) {
        let before = self.pending.len();
        if before >= HOLD || self.owner.write(connection, &mut self.pending).is_err() {
            self.pending.truncate(before);
            self.counts.failed(1);
        } else if self.pending.len() >= BATCH && !self.counts.is_failing(Task::Write) {
            self.flush();
        }
    }

    /// Writes all that is pending, as far as it can.
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let outcome = self.write();
            self.note(Task::Write, outcome);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            if self.file.is_none() {
                self.begin()?;
            }
            let piece = self.piece();
            let Some(file) = &mut self.file else {
                return Ok(());
            };
            let room = piece.saturating_sub(file.length);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let part = match whole_lines(&self.pending, room) {
                0 if file.length > 0 => {
                    self.begin()?;
                    self.trim();
                    continue;
                }
                // A line longer than a file may be: it is written nevertheless.
                0 => self.pending.len(),
                part => part,
            };
            let (written, outcome) = file.append(&self.pending[..part]);
            let lines = self.pending.drain(..written);
            let lines = lines.filter(|byte| *byte == b'\n').count();
            self.counts.written(lines as u64);
            outcome?;
        }
        Ok(())
    }

    /// Writes the list of open connections, after all that have ended before: who reads both misses none.
    fn write_open(&mut self, connections: &[Connection]) -> io::Result<()> {
        self.flush();
        if self.counts.is_failing(Task::Write) {
            // The writing has told why.
            return Ok(());
        }
        let whole = self.wanted.directory.join(OPEN);
        let part = whole.with_extension("part");
        // One that was not finished may be there.
        drop(fs::remove_file(&part));
        let outcome = (|| {
            let mut out = BufWriter::new(files::create(&part)?);
            for connection in connections {
                self.owner.write(connection, &mut out)?;
            }
            out.flush()?;
            drop(out);
            fs::rename(&part, whole)
        })();
        if outcome.is_err() {
            // It takes room that connections could have.
            drop(fs::remove_file(part));
        }
        outcome
    }

    /// Begins another file where this one is old enough or gone, and removes what is too much or too old.
    fn renew(&mut self, now: Instant) {
        let age = self.wanted.age / PARTS;
        let is_over =
            |file: &Segment| file.length > 0 && now.saturating_duration_since(file.begun) >= age;
        if self.file.as_ref().is_some_and(Segment::is_gone) {
            let place = self.wanted.directory.display();
            warn!("the newest file of the ledger in {place} was removed; beginning another");
            self.file = None;
        }
        let is_failing = self.counts.is_failing(Task::Write);
        let wants_another = self
            .file
            .as_ref()
            .is_none_or(|file| is_over(file) && !is_failing);
        if wants_another {
            let outcome = self.begin();
            // Where something is pending, it is not over before that is written.
            if outcome.is_err() || self.pending.is_empty() {
                self.note(Task::Write, outcome);
            }
        }
        self.trim();
    }

    /// Begins another file; where that fails, the one before stays.
    fn begin(&mut self) -> io::Result<()> {
        let directory = &self.wanted.directory;
        if self.file.is_none() {
            // Somebody may have removed it.
            match DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let newest = files::list(directory)?.ended.pop();
        let begun = files::after(newest.map(|file| file.begun));
        let path = directory.join(files::name(begun));
        self.file = Some(Segment::create(&path)?);
        Ok(())
    }

    /// How long one file gets. Unit: bytes.
    fn piece(&self) -> u64 {
        (u64::from(self.wanted.mebibytes) << 20) / u64::from(PARTS)
    }

    /// Removes old files, and says if it cannot.
    fn trim(&mut self) {
        let outcome = self.remove();
        self.note(Task::Remove, outcome);
    }

    /// Removes the oldest files while there is not room for one more, those that nothing was added to for too long, and
    /// empty ones that earlier agents have left.
    fn remove(&self) -> io::Result<()> {
        let most = (u64::from(self.wanted.mebibytes) << 20) - self.piece();
        let current = self.file.as_ref().map(|file| file.path.as_path());
        let now = self.clock.now();
        let mut all = files::list(&self.wanted.directory)?.ended;
        all.retain(|file| file.is_own && Some(file.path.as_path()) != current);
        let mut sum: u64 = all.iter().map(|file| file.length).sum();
        for file in all {
            let age = now.duration_since(file.modified).unwrap_or_default();
            if sum > most || age > self.wanted.age || file.length == 0 {
                match fs::remove_file(file.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => sum -= file.length,
                }
            }
        }
        Ok(())
    }

    /// Keeps what is wrong, and says once that something fails, and once that it goes on.
    fn note(&self, task: Task, outcome: io::Result<()>) {
        let (place, what) = (self.wanted.directory.display(), task.name());
        let Err(error) = outcome else {
            if self.counts.set(task, None) {
                let lost = self.counts.lost();
                info!("the ledger in {place} can {what} again; lost so far: {lost} connections");
            }
            return;
        };
        let mend = if is_full(&error) {
            "; make room there, or lower network.ledger_mib"
        } else {
            "; it is tried again every second"
        };
        let problem = format!("cannot {what} in {place}: {error}{mend}");
        if !self.counts.set(task, Some(problem.clone())) {
            warn!("the ledger: {problem}");
        }
    }
}

/// Whether there is only no room.
fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The wall clock for ages. It is never ahead of the time that has passed since it was made: a clock that jumps ahead
/// must not make everything too old at once.
struct Clock {
    wall: SystemTime,
    at: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            at: Instant::now(),
        }
    }

    fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        let passed = self.wall.checked_add(self.at.elapsed());
        passed.map_or(now, |passed| passed.min(now))
    }
}

#[cfg(test)]
mod tests;
