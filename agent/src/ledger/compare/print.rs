//! A verdict in words. Every name in it comes from a file of somebody else's and is made safe to show before it gets here.

use std::io::{self, Write};

use super::{
    super::Moment,
    read::{Names, Record, Statement},
    verdict::{Flow, Outcome, Sum, Verdict},
};
use crate::text::printable;

/// So many connections of one kind are shown one by one.
const SHOWN: usize = 1000;

/// Prints all of it; `parties` are the two, safe to show.
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
            "no connection that both have seen from its beginning to its end"
        )?;
    }
    if verdict.by_order > 0 {
        writeln!(
            out,
            "note: {} of the connections with a translated address have the same bytes and times that fit: matched in \
             the order of time",
            verdict.by_order
        )?;
    }
    if verdict.renamed > 0 {
        writeln!(
            out,
            "note: {} connections have another protocol's name in the ledger of {}",
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
        " matched by bytes and time (address translated)"
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

/// What was not compared.
fn print_left_out(
    verdict: &Verdict,
    parties: &[String; 2],
    out: &mut impl Write,
) -> io::Result<()> {
    for (count, what) in [
        (verdict.open, "still open: their bytes are under way"),
        (
            verdict.adopted,
            "older than an agent: what they moved before is not known",
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
                verdict.nobody[side],
                format!("addresses that neither file gives to {other}"),
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

/// What does not agree, one by one.
fn print_differences(
    verdict: &Verdict,
    statements: [&Statement; 2],
    parties: &[String; 2],
    names: &Names,
    out: &mut impl Write,
) -> io::Result<()> {
    for pair in verdict.different.iter().take(SHOWN) {
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
                "NOT CONFIRMED BY {own}: {} connections that {other} has seen from beginning to end and {own} has as open \
                 or older than its agent; if they were open, export again",
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
        for at in verdict.alone[side].iter().take(SHOWN) {
            write!(out, "ONLY IN THE LEDGER OF {own}, not of {other}: ")?;
            print_record(&statements[side].records[*at], names, out)?;
            writeln!(out)?;
        }
        let what = format!("are only in the ledger of {own}");
        rest(verdict.alone[side].len(), &what, out)?;
    }
    Ok(())
}

/// Of many, how many were not shown.
fn rest(count: usize, what: &str, out: &mut impl Write) -> io::Result<()> {
    match count.saturating_sub(SHOWN) {
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
        Moment(record.began),
        Moment(record.ended),
        record.transmit,
        record.receive
    )
}
