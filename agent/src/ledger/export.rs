//! `partymeter ledger export`: the connections of this node, those that have ended and those that are open.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write},
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};

use super::{Entry, Moment, OPEN, writer::ended};
use crate::config::Config;

/// How long the agent may take to say what is open, beside two of its intervals.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was left out, for people.
pub type Notes = Vec<String>;

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

/// Prints every connection that has ended after `since` or is open, a line each.
///
/// # Errors
/// When there is no ledger, or it cannot be read.
pub fn export(
    config: &Config,
    since: Option<SystemTime>,
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
    let mut notes = Notes::new();
    let open = open(directory, PATIENCE + 2 * config.interval).with_context(read)?;
    let mut broken = 0;
    let mut seen = HashSet::new();
    for (path, _) in ended(directory).with_context(read)? {
        let file = match File::open(&path) {
            Ok(file) => file,
            // It was too old just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(read),
        };
        for line in BufReader::new(file).lines() {
            let line = line.with_context(read)?;
            match serde_json::from_str::<Entry>(&line) {
                Ok(entry) if since.is_none_or(|since| entry.ended >= Moment(since)) => {
                    seen.insert(key(&entry));
                    writeln!(out, "{line}")?;
                }
                Ok(_) => {}
                Err(_) => broken += 1,
            }
        }
    }
    match open {
        Some(text) => {
            for line in text.lines() {
                let entry: Entry = serde_json::from_str(line).with_context(read)?;
                if !seen.contains(&key(&entry)) {
                    writeln!(out, "{line}")?;
                }
            }
        }
        None => notes.push(format!(
            "no agent writes to {place}: connections that are open are left out"
        )),
    }
    if broken > 0 {
        notes.push(format!(
            "{broken} lines in {place} are cut short, as where an agent was killed: they are left out"
        ));
    }
    Ok(notes)
}

/// What the agent writes of the connections that are open, once it is asked for anew; `None`: no agent does.
fn open(directory: &Path, patience: Duration) -> io::Result<Option<String>> {
    let path = directory.join(OPEN);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let end = Instant::now() + patience;
    loop {
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(Some(text)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if Instant::now() > end => return Ok(None),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// What makes a connection one.
fn key(entry: &Entry) -> (SocketAddr, SocketAddr, SystemTime) {
    (entry.local, entry.remote, entry.began.0)
}
