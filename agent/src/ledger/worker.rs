//! Writes connections to segment files, which are removed whole once the ledger is too large or too old. While writing
//! fails, a bounded number of connections is kept in memory and writing is tried again.

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
use crate::{config::Ledger as Limits, sample::ConnectionRecord};

/// How often to write, retry, look for a request for the open connections, and remove old files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The number of segments that the ledger's size and age are divided into.
const SEGMENTS: u32 = 16;
/// How much is written in one call. Unit: bytes.
const BATCH: usize = 64 << 10;
/// How much is kept while writing fails: some 800 connections. Unit: bytes.
const MAX_PENDING: usize = 256 << 10;

/// What the thread receives.
pub(super) enum Item {
    /// A connection that has ended.
    Ended(Box<ConnectionRecord>),
    /// All open connections.
    Open(Vec<ConnectionRecord>),
}

/// Writes one ledger.
pub(super) struct LedgerWorker {
    limits: Limits,
    owner: Owner,
    /// The current segment; `None` if it could not be created or was removed.
    segment: Option<Segment>,
    /// Whole lines that are not written yet.
    pending: Vec<u8>,
    counts: Arc<Counts>,
    clock: Clock,
}

impl LedgerWorker {
    /// Starts the first segment.
    pub(super) fn open(limits: Limits, owner: Owner, counts: Arc<Counts>) -> io::Result<Self> {
        let mut worker = Self {
            limits,
            owner,
            segment: None,
            pending: Vec::new(),
            counts,
            clock: Clock::new(),
        };
        match worker.start_segment() {
            // Not a configuration error: the disk may have room again later.
            Err(error) if is_full(&error) => worker.report(Task::Write, Err(error)),
            outcome => outcome?,
        }
        Ok(worker)
    }

    /// Writes connections until the sender is dropped.
    pub(super) fn run(&mut self, from: &Receiver<Item>, wants_open: &AtomicBool) {
        let mut checked: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if checked.is_none_or(|it| now.saturating_duration_since(it) >= CHECK_INTERVAL) {
                checked = Some(now);
                self.rotate(now);
                self.flush();
                // `exists` would follow a symbolic link.
                let is_there = fs::symlink_metadata(self.limits.path.join(OPEN)).is_ok();
                if !is_there && !self.counts.is_failing(Task::Write) {
                    wants_open.store(true, Ordering::Relaxed);
                }
            }
            let item = if let Ok(item) = from.try_recv() {
                item
            } else {
                // The queue is empty: write everything, so that a reader sees it.
                if !self.counts.is_failing(Task::Write) {
                    self.flush();
                }
                match from.recv_timeout(CHECK_INTERVAL) {
                    Ok(item) => item,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return self.flush(),
                }
            };
            match item {
                Item::Ended(connection) => self.append(&connection),
                Item::Open(connections) => {
                    let outcome = self.write_open(&connections);
                    self.report(Task::List, outcome);
                }
            }
        }
    }

    /// Appends a connection to what is pending. It counts as written once it is in a file.
    fn append(&mut self, connection: &ConnectionRecord) {
        let before = self.pending.len();
        if before >= MAX_PENDING || self.owner.write(connection, &mut self.pending).is_err() {
            self.pending.truncate(before);
            self.counts.failed(1);
        } else if self.pending.len() >= BATCH && !self.counts.is_failing(Task::Write) {
            self.flush();
        }
    }

    /// Writes as much of what is pending as possible.
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let outcome = self.write();
            self.report(Task::Write, outcome);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            if self.segment.is_none() {
                self.start_segment()?;
            }
            let size = self.segment_size();
            let Some(segment) = &mut self.segment else {
                return Ok(());
            };
            let room = size.saturating_sub(segment.length);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let part = match whole_lines(&self.pending, room) {
                0 if segment.length > 0 => {
                    self.start_segment()?;
                    self.enforce_limits();
                    continue;
                }
                // A line that is longer than a segment is written anyway.
                0 => self.pending.len(),
                part => part,
            };
            let (written, outcome) = segment.append(&self.pending[..part]);
            let lines = self.pending.drain(..written);
            let lines = lines.filter(|byte| *byte == b'\n').count();
            self.counts.written(lines as u64);
            outcome?;
        }
        Ok(())
    }

    /// Writes the list of open connections, after all that have ended before: a reader of both misses none.
    fn write_open(&mut self, connections: &[ConnectionRecord]) -> io::Result<()> {
        self.flush();
        if self.counts.is_failing(Task::Write) {
            // The failure is reported already.
            return Ok(());
        }
        let whole = self.limits.path.join(OPEN);
        let part = whole.with_extension("part");
        // An unfinished list may be there.
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
            // It takes room on a full disk.
            drop(fs::remove_file(part));
        }
        outcome
    }

    /// Starts another segment if the current one is old enough or was removed, and enforces the limits.
    fn rotate(&mut self, now: Instant) {
        let age = self.limits.retention / SEGMENTS;
        let is_over = |segment: &Segment| {
            segment.length > 0 && now.saturating_duration_since(segment.begun) >= age
        };
        if self.segment.as_ref().is_some_and(Segment::is_gone) {
            let place = self.limits.path.display();
            warn!("the current file of the ledger in {place} was removed; starting another");
            self.segment = None;
        }
        let is_failing = self.counts.is_failing(Task::Write);
        let wants_another = self
            .segment
            .as_ref()
            .is_none_or(|segment| is_over(segment) && !is_failing);
        if wants_another {
            let outcome = self.start_segment();
            // With lines pending, the failure ends only once they are written.
            if outcome.is_err() || self.pending.is_empty() {
                self.report(Task::Write, outcome);
            }
        }
        self.enforce_limits();
    }

    /// Starts another segment. On failure the current one stays.
    fn start_segment(&mut self) -> io::Result<()> {
        let directory = &self.limits.path;
        if self.segment.is_none() {
            // The directory may have been removed.
            match DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let newest = files::list(directory)?.ended.pop();
        let begun = files::after(newest.map(|file| file.begun));
        let path = directory.join(files::name(begun));
        self.segment = Some(Segment::create(&path)?);
        Ok(())
    }

    /// The size of a full segment. Unit: bytes.
    fn segment_size(&self) -> u64 {
        self.limits.max_size / u64::from(SEGMENTS)
    }

    /// Removes old files and reports a failure.
    fn enforce_limits(&mut self) {
        let outcome = self.remove_old();
        self.report(Task::Remove, outcome);
    }

    /// Removes the oldest files until there is room for one more segment, files that are too old, and empty files that
    /// earlier agents left behind.
    fn remove_old(&self) -> io::Result<()> {
        let most = self.limits.max_size - self.segment_size();
        let current = self.segment.as_ref().map(|segment| segment.path.as_path());
        let now = self.clock.now();
        let mut all = files::list(&self.limits.path)?.ended;
        all.retain(|file| file.is_own && Some(file.path.as_path()) != current);
        let mut sum: u64 = all.iter().map(|file| file.length).sum();
        for file in all {
            let age = now.duration_since(file.modified).unwrap_or_default();
            if sum > most || age > self.limits.retention || file.length == 0 {
                match fs::remove_file(file.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => sum -= file.length,
                }
            }
        }
        Ok(())
    }

    /// Records the state of a task, and logs the beginning and the end of a failure once.
    fn report(&self, task: Task, outcome: io::Result<()>) {
        let (place, what) = (self.limits.path.display(), task.name());
        let Err(error) = outcome else {
            if self.counts.set(task, None) {
                let lost = self.counts.lost();
                info!(
                    "the ledger in {place} can {what} again; {lost} connections were lost so far"
                );
            }
            return;
        };
        let help = if is_full(&error) {
            "make room there, or lower ledger.max_size"
        } else {
            "the agent tries again every second"
        };
        let problem = format!("cannot {what} in {place}: {error}; help: {help}");
        if !self.counts.set(task, Some(problem.clone())) {
            warn!("the ledger: {problem}");
        }
    }
}

/// Whether the disk or a quota is full.
fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The wall clock for the age of files. It never runs ahead of the monotonic clock: a wall clock that jumps ahead must
/// not remove the whole ledger.
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
