//! Prints a verdict. Names come from untrusted files and are escaped.

use std::io::{self, Write};

use super::{
    super::Timestamp,
    read::{Names, Record, Statement},
    verdict::{Flow, Outcome, Sum, Verdict},
};
use crate::text::printable;

/// How many connections of one kind are listed.
const MAX_LISTED: usize = 1000;

/// Prints the verdict; `parties` are the escaped names of the two.
pub(super) fn print(
    verdict: &Verdict,
    statements: [&Statement; 2],
    parties: &[String; 2],
    names: &Names,
    out: &mut impl Write,
) -> io::Result<()> {
    let protocol = |flow: &Flow| printable(names.text(flow.protocol));
    let mut sums: Vec<_> = verdict.sums.iter().collect();
    sums.sort_by_cached_key(|(flow, _)| (flow.from, protocol(flow), flow.translated));
    for (flow, sum) in sums {
        let (from, to) = (&parties[flow.from], &parties[1 - flow.from]);
        write!(out, "{from} -> {to}  {}: ", protocol(flow))?;
        print_sum(sum, flow.translated, out)?;
    }
    if verdict.sums.is_empty() {
        writeln!(
            out,
            "no connection that both parties saw from beginning to end"
        )?;
    }
    if verdict.by_order > 0 {
        writeln!(
            out,
            "note: {} of the connections matched across NAT are ambiguous: they have the same bytes and overlap in time",
            verdict.by_order
        )?;
    }
    if verdict.renamed > 0 {
        writeln!(
            out,
            "note: {} connections have another protocol name in the ledger of {}",
            verdict.renamed, parties[1]
        )?;
    }
    print_left_out(verdict, parties, out)?;
    print_differences(verdict, statements, parties, names, out)?;
    match verdict.outcome() {
        Outcome::Agreed => writeln!(out, "agreed: {} connections", verdict.compared()),
        Outcome::Disagreed => writeln!(out, "NOT AGREED"),
        Outcome::Nothing => Ok(()),
    }
}

fn print_sum(sum: &Sum, translated: bool, out: &mut impl Write) -> io::Result<()> {
    let how = if translated {
        " matched by bytes and time (NAT)"
    } else {
        ""
    };
    write!(
        out,
        "{} connections{how}, sent {} bytes, received {}",
        sum.connections, sum.sent, sum.received
    )?;
    if sum.missing > 0 {
        write!(out, ", NOT RECEIVED {}", sum.missing)?;
    }
    if sum.more > 0 {
        write!(out, ", RECEIVED AND NOT SENT {}", sum.more)?;
    }
    writeln!(out)
}

/// Prints what was not compared.
fn print_left_out(
    verdict: &Verdict,
    parties: &[String; 2],
    out: &mut impl Write,
) -> io::Result<()> {
    for (count, what) in [
        (verdict.open, "still open: their bytes are in flight"),
        (
            verdict.adopted,
            "older than an agent: their earlier bytes are unknown",
        ),
    ] {
        if count > 0 {
            writeln!(out, "not compared: {count} connections {what}")?;
        }
    }
    for side in [0, 1] {
        let (own, other) = (&parties[side], &parties[1 - side]);
        for (count, what) in [
            (verdict.third[side], "third parties".to_owned()),
            (
                verdict.unassigned[side],
                format!("addresses that neither file assigns to {other}"),
            ),
        ] {
            if count > 0 {
                writeln!(
                    out,
                    "not compared: {count} connections of {own} with {what}"
                )?;
            }
        }
    }
    Ok(())
}

/// Lists what does not agree.
fn print_differences(
    verdict: &Verdict,
    statements: [&Statement; 2],
    parties: &[String; 2],
    names: &Names,
    out: &mut impl Write,
) -> io::Result<()> {
    for pair in verdict.different.iter().take(MAX_LISTED) {
        let (a, b) = (
            &statements[0].records[pair.a],
            &statements[1].records[pair.b],
        );
        write!(out, "DIFFERENT: ")?;
        print_record(a, names, out)?;
        writeln!(
            out,
            "; {} says received {} bytes, sent {}",
            parties[1], b.receive, b.transmit
        )?;
    }
    rest(verdict.different.len(), "are different", out)?;
    for side in [0, 1] {
        let (own, other) = (&parties[side], &parties[1 - side]);
        if verdict.unconfirmed[side] > 0 {
            writeln!(
                out,
                "NOT CONFIRMED BY {own}: {} connections that {other} saw from beginning to end and {own} has as open or \
                 older than its agent; help: if they were open, export again",
                verdict.unconfirmed[side]
            )?;
        }
        if verdict.duplicates[side] > 0 {
            writeln!(
                out,
                "TWICE IN THE LEDGER OF {own}: {} lines; each connection counts once",
                verdict.duplicates[side]
            )?;
        }
        for at in verdict.alone[side].iter().take(MAX_LISTED) {
            write!(out, "ONLY IN THE LEDGER OF {own}, not of {other}: ")?;
            print_record(&statements[side].records[*at], names, out)?;
            writeln!(out)?;
        }
        let what = format!("are only in the ledger of {own}");
        rest(verdict.alone[side].len(), &what, out)?;
    }
    Ok(())
}

/// Prints how many connections were not listed.
fn rest(count: usize, what: &str, out: &mut impl Write) -> io::Result<()> {
    match count.saturating_sub(MAX_LISTED) {
        0 => Ok(()),
        rest => writeln!(out, "and {rest} more connections {what}"),
    }
}

fn print_record(record: &Record, names: &Names, out: &mut impl Write) -> io::Result<()> {
    let [local, remote] = [record.local, record.remote]
        .map(|(address, port)| std::net::SocketAddr::new(address, port));
    write!(
        out,
        "{} {local} to {remote}, {} to {}, sent {} bytes, received {}",
        printable(names.text(record.protocol)),
        Timestamp(record.began),
        Timestamp(record.ended),
        record.transmit,
        record.receive
    )
}
