//! `partymeter ledger compare A B`: what one party sent and the other did not receive, connection by connection, added
//! up by who sent to whom.
//!
//! Only connections that both have seen from their beginning to their end can be compared. The others are told apart,
//! with the reason.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufRead as _, BufReader, Write},
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use super::{Entry, NOT_ENDED};

/// How far apart the clocks of two parties may be.
const APART: Duration = Duration::from_secs(30);

/// Reads both files and prints what is different; gives whether nothing is.
///
/// # Errors
/// When one cannot be read, or a line in it is no connection.
pub fn compare(first: &Path, second: &Path, out: &mut impl Write) -> anyhow::Result<bool> {
    let (a, b) = (read(first)?, read(second)?);
    let mut names = [name(&a), name(&b)];
    // Without a party's name, nodes of two parties may have the same.
    if names[0] == names[1] {
        names = [first, second].map(|path| Some(path.display().to_string()));
    }
    let [a_name, b_name] = names.map(|name| name.unwrap_or_else(|| "nobody".to_owned()));
    let Matched { pairs, alone } = matched(&a, &b);
    let mut sums: BTreeMap<(&str, &str, &str), Sum> = BTreeMap::new();
    let (mut open, mut adopted) = (0_u64, 0_u64);
    for (a, b) in &pairs {
        if a.end == NOT_ENDED || b.end == NOT_ENDED {
            open += 1;
        } else if a.adopted || b.adopted {
            adopted += 1;
        } else {
            let of = |from, to| (from, to, a.protocol.as_str());
            let there = sums
                .entry(of(a_name.as_str(), b_name.as_str()))
                .or_default();
            there.add(a.transmit, b.receive);
            let back = sums
                .entry(of(b_name.as_str(), a_name.as_str()))
                .or_default();
            back.add(b.transmit, a.receive);
        }
    }
    let mut same = true;
    for ((from, to, protocol), sum) in &sums {
        let Sum {
            connections,
            sent,
            received,
            missing,
            more,
        } = sum;
        write!(
            out,
            "{from} -> {to}  {protocol}: {connections} connections, sent {sent} bytes, received {received}"
        )?;
        if *missing > 0 {
            write!(out, ", NOT RECEIVED {missing}")?;
        }
        if *more > 0 {
            write!(out, ", RECEIVED AND NOT SENT {more}")?;
        }
        writeln!(out)?;
        same &= *missing == 0 && *more == 0;
    }
    if sums.is_empty() {
        writeln!(
            out,
            "no connection that both have seen from its beginning to its end"
        )?;
    }
    for (count, what) in [
        (open, "still open: their bytes are under way"),
        (
            adopted,
            "older than an agent: what they moved before is not known",
        ),
    ] {
        if count > 0 {
            writeln!(out, "not compared: {count} connections {what}")?;
        }
    }
    for (entries, whose, other) in [(&alone[0], &a_name, &b_name), (&alone[1], &b_name, &a_name)] {
        for entry in entries {
            writeln!(
                out,
                "ONLY IN THE LEDGER OF {whose}, not of {other}: {} {} to {}, {} to {}, sent {} bytes, received {}",
                entry.protocol,
                entry.local,
                entry.remote,
                entry.began,
                entry.ended,
                entry.transmit,
                entry.receive
            )?;
        }
        same &= entries.is_empty();
    }
    Ok(same)
}

/// Of connections from one to another.
#[derive(Default)]
struct Sum {
    connections: u64,
    sent: u64,
    received: u64,
    missing: u64,
    more: u64,
}

impl Sum {
    fn add(&mut self, sent: u64, received: u64) {
        self.connections += 1;
        self.sent += sent;
        self.received += received;
        self.missing += sent.saturating_sub(received);
        self.more += received.saturating_sub(sent);
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let place = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {place}"))?;
    let lines = BufReader::new(file).lines().zip(1..);
    lines
        .map(|(line, number): (io::Result<String>, u64)| {
            let line = line.with_context(|| format!("cannot read {place}"))?;
            serde_json::from_str(&line).with_context(|| {
                format!("{place}:{number}: no connection; `partymeter ledger export` writes them")
            })
        })
        .collect()
}

/// Whose ledger it is: its party, else its node; `None` where nothing is in it.
fn name(entries: &[Entry]) -> Option<String> {
    let first = entries.first()?;
    let party = first.party_id.as_deref();
    Some(party.map_or_else(|| first.node.clone(), |id| format!("party {id}")))
}

/// Connections that are in both, and those that are in one alone.
struct Matched<'e> {
    pairs: Vec<(&'e Entry, &'e Entry)>,
    alone: [Vec<&'e Entry>; 2],
}

/// Puts together what has the same ends and overlaps in time: ports are used again.
fn matched<'e>(a: &'e [Entry], b: &'e [Entry]) -> Matched<'e> {
    let mut by_ends: HashMap<(SocketAddr, SocketAddr), Vec<&Entry>> = HashMap::new();
    for entry in b {
        by_ends
            .entry((entry.remote, entry.local))
            .or_default()
            .push(entry);
    }
    let mut found = Matched {
        pairs: Vec::new(),
        alone: [Vec::new(), Vec::new()],
    };
    for entry in a {
        let others = by_ends.get_mut(&(entry.local, entry.remote));
        let nearest = others.and_then(|others| {
            let all = others.iter().enumerate();
            let near = all.filter(|(_, other)| overlap(entry, other));
            let (place, _) = near.min_by_key(|(_, other)| apart(entry.ended.0, other.ended.0))?;
            Some(others.swap_remove(place))
        });
        match nearest {
            Some(other) => found.pairs.push((entry, other)),
            None => found.alone[0].push(entry),
        }
    }
    found.alone[1] = by_ends.into_values().flatten().collect();
    for alone in &mut found.alone {
        alone.sort_by_key(|entry| entry.began);
    }
    found
}

fn overlap(one: &Entry, other: &Entry) -> bool {
    one.began.0 <= other.ended.0 + APART && other.began.0 <= one.ended.0 + APART
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other)
        .unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 5000;

    /// As a line, of the side that is at `local`.
    fn line(party: &str, ends: [u16; 2], seconds: [u8; 2], end: &str, bytes: [u64; 2]) -> String {
        let [local, remote] = ends.map(|port| {
            let host = if port == PORT { 2 } else { 1 };
            format!("10.0.0.{host}:{port}")
        });
        let [began, ended] = seconds.map(|second| format!("2026-01-31T12:00:{second:02}Z"));
        let [transmit, receive] = bytes;
        format!(
            "{{\"node\":\"n\",\"party_id\":\"{party}\",\"peer\":\"?\",\"protocol\":\"p\",\"role\":\"initiator\",\
             \"local\":\"{local}\",\"remote\":\"{remote}\",\"began\":\"{began}\",\"ended\":\"{ended}\",\
             \"end\":\"{end}\",\"adopted\":false,\"transmit\":{transmit},\"receive\":{receive},\"retransmit\":0}}"
        )
    }

    fn entries(lines: &[String]) -> Vec<Entry> {
        let entries = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        entries.collect()
    }

    #[test]
    fn a_port_that_is_used_again_is_another_connection() {
        let a = entries(&[
            line("0", [40_000, PORT], [1, 5], "fin", [10, 1]),
            line("0", [40_000, PORT], [6, 9], "fin", [20, 2]),
            line("0", [40_001, PORT], [6, 9], "fin", [30, 3]),
        ]);
        let b = entries(&[
            line("1", [PORT, 40_000], [6, 9], "fin", [2, 20]),
            line("1", [PORT, 40_000], [1, 5], "fin", [1, 10]),
        ]);
        let found = matched(&a, &b);
        assert!(found.pairs.iter().all(|(a, b)| a.transmit == b.receive));
        assert_eq!(
            (
                found.pairs.len(),
                found.alone[0].len(),
                found.alone[1].len()
            ),
            (2, 1, 0)
        );
    }
}
