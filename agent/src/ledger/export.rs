//! `partymeter ledger export`: prints the ended and the open connections of this node, with chosen parties or with all.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{self, BufReader, Write},
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};

use super::{
    Entry, Timestamp,
    files::{self, OPEN},
    lines::{Line, Lines},
};
use crate::{config::Config, text::printable};

/// How long the agent may take to list open connections, in addition to two of its intervals.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The most names that a note lists.
const MAX_NAMES: usize = 16;

/// What was left out.
pub type Notes = Vec<String>;

/// The peers whose connections are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// All peers.
    All,
    /// Not specified: all peers, with a note if there is more than one.
    Unspecified,
    /// These, by [`Entry::peer`].
    Only(Vec<String>),
}

impl Peers {
    fn has(&self, peer: &str) -> bool {
        match self {
            Self::All | Self::Unspecified => true,
            Self::Only(names) => names.iter().any(|name| name == peer),
        }
    }
}

/// Parses a time: an age such as `2h`, or RFC 3339.
///
/// # Errors
/// What is wrong, and what is accepted.
pub fn since(text: &str) -> Result<SystemTime, String> {
    let ago = humantime::parse_duration(text).ok();
    ago.and_then(|ago| SystemTime::now().checked_sub(ago))
        .or_else(|| humantime::parse_rfc3339_weak(text).ok())
        .ok_or_else(|| {
            format!(
                "{text:?} is not a time; help: give an age such as 2h, or a time such as 2026-01-31T12:00:00Z"
            )
        })
}

/// Prints every connection with `peers` that ended after `since` or is open, one per line.
///
/// # Errors
/// If no ledger is configured, or it cannot be read.
pub fn export(
    config: &Config,
    since: Option<SystemTime>,
    peers: &Peers,
    out: &mut impl Write,
) -> anyhow::Result<Notes> {
    let Some(ledger) = &config.ledger else {
        bail!("no ledger is configured; help: set ledger.path to the directory of the ledger");
    };
    let directory = &ledger.path;
    let place = directory.display();
    let read = || format!("cannot read the ledger in {place}");
    // The open ones first: a connection that ends meanwhile is in both lists, and none is missing.
    let open = open(directory, TIMEOUT + 2 * config.interval).with_context(read)?;
    let is_running = open.is_some();
    let mut export = Export {
        since,
        peers,
        open: open.unwrap_or_default(),
        printed: false,
        others: BTreeSet::new(),
        broken: 0,
        torn: 0,
    };
    let mut notes = Notes::new();
    let out = &mut io::BufWriter::new(out);
    let listing = files::list(directory).with_context(read)?;
    let mut not_regular = listing.not_regular;
    let newest = listing.ended.last().map(|file| file.path.clone());
    for stored in listing.ended {
        // The agent may be writing its last line.
        let is_written_to = is_running && newest.as_ref() == Some(&stored.path);
        match files::open(&stored.path) {
            Ok(Some(file)) => {
                let torn = export.torn;
                export
                    .print(Lines::new(BufReader::new(file)), out)
                    .with_context(read)?;
                if is_written_to {
                    export.torn = torn;
                }
            }
            Ok(None) => not_regular.push(stored.path.display().to_string()),
            // The agent has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(read),
        }
    }
    export.print_open(out).with_context(read)?;
    out.flush()?;
    if !is_running {
        notes.push(format!(
            "no agent writes to {place}: open connections are left out"
        ));
    }
    export.add_notes(&place.to_string(), &mut notes);
    if !not_regular.is_empty() {
        let names = listed(not_regular.iter().map(String::as_str));
        notes.push(format!(
            "left out, because they are not regular files in {place}: {names}"
        ));
    }
    Ok(notes)
}

/// What to print, and what was found.
struct Export<'w> {
    since: Option<SystemTime>,
    peers: &'w Peers,
    /// Open connections that were not found among the ended ones.
    open: HashMap<Key, String>,
    printed: bool,
    /// Peers of connections that were not asked for.
    others: BTreeSet<String>,
    broken: u64,
    torn: u64,
}

/// What identifies a connection.
type Key = (SocketAddr, SocketAddr, SystemTime);

fn key(entry: &Entry) -> Key {
    (entry.local, entry.remote, entry.began.0)
}

impl Export<'_> {
    /// Prints the selected connections of one file.
    fn print(
        &mut self,
        mut lines: Lines<impl io::BufRead>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        while let Some(line) = lines.next()? {
            let (text, is_torn) = match line {
                Line::Whole(text) => (text, false),
                Line::Torn(text) => (text, true),
                Line::TooLong => {
                    self.broken += 1;
                    continue;
                }
            };
            let Ok(entry) = serde_json::from_slice::<Entry>(text) else {
                *(if is_torn {
                    &mut self.torn
                } else {
                    &mut self.broken
                }) += 1;
                continue;
            };
            self.open.remove(&key(&entry));
            if self
                .since
                .is_none_or(|since| entry.ended >= Timestamp(since))
                && self.wants(&entry)
            {
                out.write_all(text)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Prints the selected open connections.
    fn print_open(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut entries = Vec::new();
        for line in std::mem::take(&mut self.open).into_values() {
            entries.push((serde_json::from_str::<Entry>(&line)?, line));
        }
        entries.sort_by_key(|(entry, _)| (entry.began, entry.local, entry.remote));
        for (entry, line) in entries {
            if self.wants(&entry) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    fn wants(&mut self, entry: &Entry) -> bool {
        let has = self.peers.has(&entry.peer);
        self.printed |= has;
        let is_noted = !has || *self.peers == Peers::Unspecified;
        if is_noted && self.others.len() < MAX_NAMES && !self.others.contains(&entry.peer) {
            self.others.insert(entry.peer.clone());
        }
        has
    }

    fn add_notes(&self, place: &str, notes: &mut Notes) {
        if let Peers::Only(names) = self.peers
            && !self.printed
            && !self.others.is_empty()
        {
            let (names, others) = (
                listed(names.iter().map(String::as_str)),
                listed(self.others.iter().map(String::as_str)),
            );
            notes.push(format!(
                "no connection in {place} is with {names}; the peers in it are {others}"
            ));
        }
        if *self.peers == Peers::Unspecified && self.others.len() > 1 {
            let others = listed(self.others.iter().map(String::as_str));
            notes.push(format!(
                "these connections are with {others}; help: select one party with --peer before you hand them over"
            ));
        }
        if self.torn > 0 {
            notes.push(format!(
                "{} files in {place} end within a line, as after a kill: those lines are left out",
                self.torn
            ));
        }
        if self.broken > 0 {
            notes.push(format!(
                "{} lines in {place} are not connections: they are left out",
                self.broken
            ));
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.take(MAX_NAMES).map(printable).collect();
    names.join(", ")
}

/// Requests the list of open connections from the agent; `None` if no agent answers.
fn open(directory: &Path, patience: Duration) -> io::Result<Option<HashMap<Key, String>>> {
    let path = directory.join(OPEN);
    let not_regular = || {
        io::Error::other(format!(
            "{OPEN} in it is not a regular file; help: remove it"
        ))
    };
    match fs::symlink_metadata(&path) {
        // It is not ours to remove.
        Ok(data) if !data.is_file() => return Err(not_regular()),
        _ => {}
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let end = Instant::now() + patience;
    loop {
        match files::open(&path) {
            Ok(Some(file)) => return lines_of(file).map(Some),
            Ok(None) => return Err(not_regular()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if Instant::now() > end => return Ok(None),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The agent renames the list into place once it is complete.
fn lines_of(file: fs::File) -> io::Result<HashMap<Key, String>> {
    let mut lines = Lines::new(BufReader::new(file));
    let mut found = HashMap::new();
    while let Some(line) = lines.next()? {
        let Line::Whole(text) = line else {
            return Err(io::Error::other(format!("{OPEN} in it is incomplete")));
        };
        let entry: Entry = serde_json::from_slice(text)?;
        found.insert(key(&entry), String::from_utf8_lossy(text).into_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
