//! Reads and checks one party's file, which is not trusted: everything is bounded before it is kept, and an impossible line
//! ends the comparison with an error.

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
        Entry, NOT_ENDED, Timestamp,
        lines::{Line, Lines, MAX_LINE},
    },
    Incomparable, MAX_CLOCK_SKEW,
};
use crate::text::printable;

/// The most connections in one file: some 500 MB of memory.
const MAX_CONNECTIONS: usize = 4_000_000;
/// The longest name of a node, a party or a protocol. Unit: bytes.
const MAX_NAME: usize = 256;
/// The most different names in one file.
const MAX_NAMES: usize = 8192;
/// The earliest time of a connection: 2020-01-01, since 1970.
const EARLIEST: Duration = Duration::from_hours(438_288);
/// How far the other party's clock may be ahead.
const MAX_AHEAD: Duration = Duration::from_hours(24);

/// Interned names: a file repeats few names many times.
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
        // Two files have at most twice `MAX_NAMES`.
        let number = Name(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// An endpoint, without the scope of an IPv6 address, which differs between hosts.
pub(super) type Endpoint = (IpAddr, u16);

/// One connection, as one party recorded it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) peer: Name,
    pub(super) protocol: Name,
    pub(super) role: Role,
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
    pub(super) began: SystemTime,
    pub(super) ended: SystemTime,
    pub(super) seen: Seen,
    /// Unit: bytes.
    pub(super) transmit: u64,
    /// Unit: bytes.
    pub(super) receive: u64,
}

/// How much of a connection a party saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// From its beginning to its end.
    Whole,
    /// It was still open.
    Open,
    /// It was older than the agent.
    Adopted,
}

/// The contents of one party's file.
#[derive(Debug)]
pub(super) struct Statement {
    /// The party id, if any line has one.
    pub(super) party: Option<Name>,
    /// The node of the first line, if there is one.
    pub(super) node: Option<Name>,
    /// Without duplicates, in the order of their beginning.
    pub(super) records: Vec<Record>,
    /// Lines that repeat another line.
    pub(super) duplicates: u64,
}

/// Reads a file.
pub(super) fn read(path: &Path, names: &mut Names) -> Result<Statement, Incomparable> {
    let place = printable(path.as_os_str().as_bytes());
    let failed = |error: std::io::Error| Incomparable(format!("cannot read {place}: {error}"));
    let file = File::open(path).map_err(failed)?;
    parse(BufReader::new(file), &place, names)
}

/// Parses lines, which must all be connections of the same party.
pub(super) fn parse(
    reader: impl BufRead,
    place: &str,
    names: &mut Names,
) -> Result<Statement, Incomparable> {
    let latest = SystemTime::now() + MAX_AHEAD;
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
                return Err(wrong(format!(
                    "longer than {MAX_LINE} bytes: not a connection"
                )));
            }
        };
        let entry = serde_json::from_slice::<Entry>(text).map_err(|error| {
            wrong(format!(
                "not a connection as `partymeter ledger export` writes it: {}",
                printable(error.to_string())
            ))
        })?;
        let record = check(&entry, latest, names).map_err(wrong)?;
        let node = names.number(&entry.node);
        let party = entry.party_id.as_deref().map(|id| names.number(id));
        if names.all.len() - before > MAX_NAMES {
            return Err(wrong(format!("more than {MAX_NAMES} different names")));
        }
        match (statement.party, party) {
            (Some(one), Some(other)) if one != other => {
                return Err(wrong(format!(
                    "this line is of party {}, and lines above are of party {}; help: give one file per party",
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
        if statement.records.len() == MAX_CONNECTIONS {
            return Err(wrong(format!(
                "more than {MAX_CONNECTIONS} connections; help: export fewer with --since and --peer"
            )));
        }
        statement.records.push(record);
    }
    statement
        .records
        .sort_by_key(|record| (record.began, record.local, record.remote));
    Ok(statement)
}

/// Checks that a connection is possible.
fn check(entry: &Entry, latest: SystemTime, names: &mut Names) -> Result<Record, String> {
    for (what, name) in [
        ("node", Some(&entry.node)),
        ("party_id", entry.party_id.as_ref()),
        ("peer", Some(&entry.peer)),
        ("protocol", Some(&entry.protocol)),
    ] {
        let length = name.map_or(1, String::len);
        if !(1..=MAX_NAME).contains(&length) {
            return Err(format!("{what} has {length} bytes, not 1 to {MAX_NAME}"));
        }
    }
    for (what, moment) in [("began", entry.began), ("ended", entry.ended)] {
        if moment.0 < SystemTime::UNIX_EPOCH + EARLIEST || moment.0 > latest {
            return Err(format!(
                "{what} is {moment}, not between {} and {}; a clock is wrong",
                Timestamp(SystemTime::UNIX_EPOCH + EARLIEST),
                Timestamp(latest)
            ));
        }
    }
    if entry.began.0 > entry.ended.0 + MAX_CLOCK_SKEW {
        return Err(format!(
            "it ended at {} before it began at {}",
            entry.ended, entry.began
        ));
    }
    let role = Role::ALL.into_iter().find(|it| it.name() == entry.role);
    let role = role.ok_or_else(|| format!("role {} is unknown", printable(&entry.role)))?;
    let seen = if entry.end == NOT_ENDED {
        Seen::Open
    } else if End::ALL.into_iter().all(|it| it.name() != entry.end) {
        return Err(format!("end {} is unknown", printable(&entry.end)));
    } else if entry.adopted {
        Seen::Adopted
    } else {
        Seen::Whole
    };
    for (what, address) in [("local", entry.local), ("remote", entry.remote)] {
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(format!("{what} is {address}, which no connection can have"));
        }
    }
    Ok(Record {
        peer: names.number(&entry.peer),
        protocol: names.number(&entry.protocol),
        role,
        local: endpoint(entry.local),
        remote: endpoint(entry.remote),
        began: entry.began.0,
        ended: entry.ended.0,
        seen,
        transmit: entry.transmit,
        receive: entry.receive,
    })
}

fn endpoint(address: SocketAddr) -> Endpoint {
    (address.ip().to_canonical(), address.port())
}
