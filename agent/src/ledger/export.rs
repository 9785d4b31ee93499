//! `partymeter ledger export`: the connections of this node, those that have ended and those that are open, with chosen
//! parties or with all.

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
    Entry, Moment,
    files::{self, OPEN},
    lines::{Line, Lines},
};
use crate::{config::Config, text::printable};

/// How long the agent may take to say what is open, beside two of its intervals.
const PATIENCE: Duration = Duration::from_secs(3);
/// So many names are told at most.
const NAMES: usize = 16;

/// What was left out, for people.
pub type Notes = Vec<String>;

/// With whom the connections are that are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// With anybody.
    All,
    /// Nobody has said: with anybody, and a note where that is more than one.
    Unsaid,
    /// With these, by [`Entry::peer`].
    Only(Vec<String>),
}

impl Peers {
    fn has(&self, peer: &str) -> bool {
        match self {
            Self::All | Self::Unsaid => true,
            Self::Only(names) => names.iter().any(|name| name == peer),
        }
    }
}

/// A time as people give it: so long ago, or RFC 3339.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn since(text: &str) -> Result<SystemTime, String> {
    let ago = humantime::parse_duration(text).ok();
    ago.and_then(|ago| SystemTime::now().checked_sub(ago))
        .or_else(|| humantime::parse_rfc3339_weak(text).ok())
        .ok_or_else(|| {
            format!(
                "{text:?} is no time; write how long ago, as 2h, or when, as 2026-01-31T12:00:00Z"
            )
        })
}

/// Prints every connection with `peers` that has ended after `since` or is open, a line each.
///
/// # Errors
/// When there is no ledger, or it cannot be read.
pub fn export(
    config: &Config,
    since: Option<SystemTime>,
    peers: &Peers,
    out: &mut impl Write,
) -> anyhow::Result<Notes> {
    let Some(wanted) = &config.network.ledger else {
        bail!(
            "no ledger is configured; set network.ledger to the directory that the agent writes it to"
        );
    };
    let directory = &wanted.directory;
    let place = directory.display();
    let read = || format!("cannot read the ledger in {place}");
    // What ends from now on is in both, and nothing in neither.
    let open = open(directory, PATIENCE + 2 * config.interval).with_context(read)?;
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
    let mut strange = listing.strange;
    let newest = listing.ended.last().map(|file| file.path.clone());
    for stored in listing.ended {
        // The agent may be in the middle of its last line.
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
            Ok(None) => strange.push(stored.path.display().to_string()),
            // It was too old just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(read),
        }
    }
    export.print_open(out).with_context(read)?;
    out.flush()?;
    if !is_running {
        notes.push(format!(
            "no agent writes to {place}: connections that are open are left out"
        ));
    }
    export.tell(&place.to_string(), &mut notes);
    if !strange.is_empty() {
        let names = listed(strange.iter().map(String::as_str));
        notes.push(format!("no regular files in {place}, left out: {names}"));
    }
    Ok(notes)
}

/// What is wanted, and what was found.
struct Export<'w> {
    since: Option<SystemTime>,
    peers: &'w Peers,
    /// Lines of open connections that have not been found among those that have ended.
    open: HashMap<Key, String>,
    printed: bool,
    /// Whom those are with that nobody has asked for.
    others: BTreeSet<String>,
    broken: u64,
    torn: u64,
}

/// What makes a connection one.
type Key = (SocketAddr, SocketAddr, SystemTime);

fn key(entry: &Entry) -> Key {
    (entry.local, entry.remote, entry.began.0)
}

impl Export<'_> {
    /// Prints what is wanted of a file of ended connections.
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
            if self.since.is_none_or(|since| entry.ended >= Moment(since)) && self.wants(&entry) {
                out.write_all(text)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Prints what is wanted of the open ones.
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
        let is_told = !has || *self.peers == Peers::Unsaid;
        if is_told && self.others.len() < NAMES && !self.others.contains(&entry.peer) {
            self.others.insert(entry.peer.clone());
        }
        has
    }

    fn tell(&self, place: &str, notes: &mut Notes) {
        if let Peers::Only(names) = self.peers
            && !self.printed
            && !self.others.is_empty()
        {
            let (names, others) = (
                listed(names.iter().map(String::as_str)),
                listed(self.others.iter().map(String::as_str)),
            );
            notes.push(format!(
                "no connection in {place} is with {names}; it has those with {others}"
            ));
        }
        if *self.peers == Peers::Unsaid && self.others.len() > 1 {
            let others = listed(self.others.iter().map(String::as_str));
            notes.push(format!(
                "these are connections with {others}: before they are handed over to one of them, choose it by --peer"
            ));
        }
        if self.torn > 0 {
            notes.push(format!(
                "{} files in {place} end in the middle of a line, as where an agent was killed: those lines are left out",
                self.torn
            ));
        }
        if self.broken > 0 {
            notes.push(format!(
                "{} lines in {place} are no connections: they are left out",
                self.broken
            ));
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.take(NAMES).map(printable).collect();
    names.join(", ")
}

/// What the agent writes of the connections that are open, once it is asked for anew; `None`: no agent does.
fn open(directory: &Path, patience: Duration) -> io::Result<Option<HashMap<Key, String>>> {
    let path = directory.join(OPEN);
    let strange = || io::Error::other(format!("{OPEN} in it is no regular file; remove it"));
    match fs::symlink_metadata(&path) {
        // Whoever put it there may want it.
        Ok(data) if !data.is_file() => return Err(strange()),
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
            Ok(None) => return Err(strange()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if Instant::now() > end => return Ok(None),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The agent gives the list its name once it is whole.
fn lines_of(file: fs::File) -> io::Result<HashMap<Key, String>> {
    let mut lines = Lines::new(BufReader::new(file));
    let mut found = HashMap::new();
    while let Some(line) = lines.next()? {
        let Line::Whole(text) = line else {
            return Err(io::Error::other(format!("{OPEN} in it is cut short")));
        };
        let entry: Entry = serde_json::from_slice(text)?;
        found.insert(key(&entry), String::from_utf8_lossy(text).into_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
