//! A file of one party, read and checked: what is in it may be meant to mislead. Everything is bounded before it is kept,
//! and a line that cannot be true ends the comparison with what is wrong in it.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use agent_ebpf::{End, Role};

use super::{
    super::{
        Entry, Moment, NOT_ENDED,
        lines::{LONGEST, Line, Lines},
    },
    APART, Incomparable,
};
use crate::text::printable;

/// So many connections are read of one file: some 500 MB of memory.
const MOST: usize = 4_000_000;
/// The longest name of a node, a party or a protocol. Unit: bytes.
const NAME: usize = 256;
/// So many different names may be in one file.
const NAMES: usize = 8192;
/// No connection is older: 2020-01-01, in time since 1970.
const FIRST: Duration = Duration::from_hours(438_288);
/// How far ahead of this machine's the clock of the other may be.
const AHEAD: Duration = Duration::from_hours(24);

/// Names by number: a file has few of them, and very often.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<String>,
    numbers: HashMap<String, Name>,
}

/// One of [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name(u32);

impl Names {
    pub(super) fn text(&self, name: Name) -> &str {
        self.all.get(name.0 as usize).map_or("", String::as_str)
    }

    fn number(&mut self, text: &str) -> Name {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // Two files have at most twice `NAMES`.
        let number = Name(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// One end of a connection. Without the scope of an IPv6 address, which is each host's own.
pub(super) type Place = (IpAddr, u16);

/// One connection, as one party has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) peer: Name,
    pub(super) protocol: Name,
    pub(super) role: Role,
    pub(super) local: Place,
    pub(super) remote: Place,
    pub(super) began: SystemTime,
    pub(super) ended: SystemTime,
    pub(super) seen: Seen,
    /// Unit: bytes.
    pub(super) transmit: u64,
    /// Unit: bytes.
    pub(super) receive: u64,
}

/// How much of a connection a party has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// From its beginning to its end.
    Whole,
    /// It was open.
    Open,
    /// It is older than the agent.
    Adopted,
}

/// What one party says.
#[derive(Debug)]
pub(super) struct Statement {
    /// The party's id; `None`: no line has one.
    pub(super) party: Option<Name>,
    /// The first line's node; `None`: there is no line.
    pub(super) node: Option<Name>,
    /// Each once, in the order of their beginning.
    pub(super) records: Vec<Record>,
    /// Lines that say again what another line says.
    pub(super) duplicates: u64,
}

/// Reads a file.
pub(super) fn read(path: &Path, names: &mut Names) -> Result<Statement, Incomparable> {
    let place = printable(path.as_os_str().as_bytes());
    let failed = |error: std::io::Error| Incomparable(format!("cannot read {place}: {error}"));
    let file = File::open(path).map_err(failed)?;
    parse(BufReader::new(file), &place, names)
}

/// Reads lines, each of which must be a connection of one and the same party.
pub(super) fn parse(
    reader: impl BufRead,
    place: &str,
    names: &mut Names,
) -> Result<Statement, Incomparable> {
    let latest = SystemTime::now() + AHEAD;
    let before = names.all.len();
    let mut lines = Lines::new(reader);
    let mut seen = HashSet::new();
    let mut statement = Statement {
        party: None,
        node: None,
        records: Vec::new(),
        duplicates: 0,
    };
    for number in 1_u64.. {
        let wrong = |why: String| Incomparable(format!("{place}:{number}: {why}"));
        let line = lines.next();
        let line = line.map_err(|error| Incomparable(format!("cannot read {place}: {error}")))?;
        let text = match line {
            None => break,
            Some(Line::Whole(text) | Line::Torn(text)) => text,
            Some(Line::TooLong) => {
                return Err(wrong(format!("longer than {LONGEST} bytes: no connection")));
            }
        };
        let entry = serde_json::from_slice::<Entry>(text).map_err(|error| {
            wrong(format!(
                "no connection, `partymeter ledger export` writes them: {}",
                printable(error.to_string())
            ))
        })?;
        let record = check(&entry, latest, names).map_err(wrong)?;
        let node = names.number(&entry.node);
        let party = entry.party_id.as_deref().map(|id| names.number(id));
        if names.all.len() - before > NAMES {
            return Err(wrong(format!("more than {NAMES} different names")));
        }
        match (statement.party, party) {
            (Some(one), Some(other)) if one != other => {
                return Err(wrong(format!(
                    "this is party {}'s, and above are party {}'s; compare one party's file at a time",
                    printable(names.text(other)),
                    printable(names.text(one))
                )));
            }
            (None, Some(_)) => statement.party = party,
            _ => {}
        }
        statement.node.get_or_insert(node);
        if !seen.insert((node, record.local, record.remote, record.began)) {
            statement.duplicates += 1;
            continue;
        }
        if statement.records.len() == MOST {
            return Err(wrong(format!(
                "more than {MOST} connections; export fewer, by --since and --peer"
            )));
        }
        statement.records.push(record);
    }
    statement
        .records
        .sort_by_key(|record| (record.began, record.local, record.remote));
    Ok(statement)
}

/// A connection that can be, or what in it cannot.
fn check(entry: &Entry, latest: SystemTime, names: &mut Names) -> Result<Record, String> {
    for (what, name) in [
        ("node", Some(&entry.node)),
        ("party_id", entry.party_id.as_ref()),
        ("peer", Some(&entry.peer)),
        ("protocol", Some(&entry.protocol)),
    ] {
        let length = name.map_or(1, String::len);
        if !(1..=NAME).contains(&length) {
            return Err(format!("{what} has {length} bytes, not 1 to {NAME}"));
        }
    }
    for (what, moment) in [("began", entry.began), ("ended", entry.ended)] {
        if moment.0 < SystemTime::UNIX_EPOCH + FIRST || moment.0 > latest {
            return Err(format!(
                "{what} is {moment}, not between {} and {}; its clock or this one is wrong",
                Moment(SystemTime::UNIX_EPOCH + FIRST),
                Moment(latest)
            ));
        }
    }
    if entry.began.0 > entry.ended.0 + APART {
        return Err(format!(
            "it ended at {} before it began at {}",
            entry.ended, entry.began
        ));
    }
    let role = Role::ALL.into_iter().find(|it| it.name() == entry.role);
    let role = role.ok_or_else(|| format!("role {} is none", printable(&entry.role)))?;
    let seen = if entry.end == NOT_ENDED {
        Seen::Open
    } else if End::ALL.into_iter().all(|it| it.name() != entry.end) {
        return Err(format!("end {} is none", printable(&entry.end)));
    } else if entry.adopted {
        Seen::Adopted
    } else {
        Seen::Whole
    };
    for (what, address) in [("local", entry.local), ("remote", entry.remote)] {
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(format!("{what} is {address}, which no connection has"));
        }
    }
    Ok(Record {
        peer: names.number(&entry.peer),
        protocol: names.number(&entry.protocol),
        role,
        local: place(entry.local),
        remote: place(entry.remote),
        began: entry.began.0,
        ended: entry.ended.0,
        seen,
        transmit: entry.transmit,
        receive: entry.receive,
    })
}

fn place(address: SocketAddr) -> Place {
    (address.ip().to_canonical(), address.port())
}
