//! Statements in memory, and what comes out. The first file is party 0's, the second party 1's.

mod nat;
mod peers;
mod untrusted;

use std::fmt::Write as _;

use super::*;

/// A line of a file.
#[derive(Clone)]
struct Entry {
    party: Option<&'static str>,
    peer: &'static str,
    protocol: &'static str,
    role: &'static str,
    local: &'static str,
    remote: &'static str,
    /// Seconds of one hour.
    times: [u32; 2],
    end: &'static str,
    adopted: bool,
    transmit: u64,
    receive: u64,
}

/// What party 0 has: it connects to party 1's port 5000.
const A: Entry = Entry {
    party: Some("0"),
    peer: "1",
    protocol: "p",
    role: "initiator",
    local: "10.0.0.1:40000",
    remote: "10.0.0.2:5000",
    times: [600, 601],
    end: "fin",
    adopted: false,
    transmit: 1000,
    receive: 7,
};

/// What party 1 has of the same.
const B: Entry = Entry {
    party: Some("1"),
    peer: "0",
    role: "acceptor",
    local: A.remote,
    remote: A.local,
    transmit: A.receive,
    receive: A.transmit,
    ..A
};

fn text(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, it| {
        let [began, ended] = it.times.map(|seconds| {
            format!("2026-01-31T12:{:02}:{:02}Z", seconds / 60, seconds % 60)
        });
        let party = it.party.map(|id| format!("\"party_id\":{id:?},"));
        writeln!(
            text,
            "{{\"node\":\"n\",{}\"peer\":\"{}\",\"protocol\":\"{}\",\"role\":\"{}\",\"local\":\"{}\",\"remote\":\"{}\",\
             \"began\":\"{began}\",\"ended\":\"{ended}\",\"end\":\"{}\",\"adopted\":{},\"transmit\":{},\"receive\":{},\
             \"retransmit\":0}}",
            party.unwrap_or_default(),
            it.peer,
            it.protocol,
            it.role,
            it.local,
            it.remote,
            it.end,
            it.adopted,
            it.transmit,
            it.receive,
        )
        .unwrap();
        text
    })
}

/// What is printed, and the exit code.
fn compared_text(a: &str, b: &str) -> (String, u8) {
    let mut names = Names::default();
    let mut out = Vec::new();
    let outcome = (|| {
        let a = read::parse(a.as_bytes(), "a", &mut names)?;
        let b = read::parse(b.as_bytes(), "b", &mut names)?;
        let places = ["a".to_owned(), "b".to_owned()];
        compare_statements(&a, &b, &places, &names, &mut out)
    })();
    let mut said = String::from_utf8(out).unwrap();
    let code = match outcome {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            assert!(error.is::<Incomparable>(), "{error}");
            writeln!(said, "{error}").unwrap();
            2
        }
    };
    (said, code)
}

fn compared(a: &[Entry], b: &[Entry]) -> (String, u8) {
    compared_text(&text(a), &text(b))
}

/// Asserts the code, and that the text has these.
fn expect((said, code): (String, u8), expected: u8, has: &[&str]) {
    assert_eq!(code, expected, "{said}");
    for part in has {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[test]
fn what_agrees() {
    let lines = "party 0 -> party 1  p: 1 connections, sent 1000 bytes, received 1000\n\
                 party 1 -> party 0  p: 1 connections, sent 7 bytes, received 7\n\
                 agreed: 1 connections\n";
    assert_eq!(compared(&[A], &[B]), (lines.to_owned(), 0));
    // No end of the last line, as editors leave it.
    let (a, b) = (text(&[A]), text(&[B]));
    assert_eq!(compared_text(a.trim_end(), &b), (lines.to_owned(), 0));
}

#[test]
fn what_differs_is_shown_by_connection() {
    let less = Entry { receive: 995, ..B };
    expect(
        compared(&[A], &[less]),
        1,
        &[
            "sent 1000 bytes, received 995, NOT RECEIVED 5\n",
            "DIFFERENT: p 10.0.0.1:40000 to 10.0.0.2:5000, ",
            "sent 1000 bytes, received 7; party 1 says received 995 bytes, sent 7\n",
            "NOT AGREED",
        ],
    );
}

#[test]
fn sums_do_not_wrap() {
    let half = 1 << 63;
    let (a, b) = (
        A,
        Entry {
            receive: B.receive + half,
            ..B
        },
    );
    let other_a = Entry {
        local: "10.0.0.1:40001",
        ..A
    };
    let other_b = Entry {
        remote: "10.0.0.1:40001",
        ..b.clone()
    };
    expect(
        compared(&[a, other_a], &[b, other_b]),
        1,
        &[
            "sent 2000 bytes, received 18446744073709553616, RECEIVED AND NOT SENT 18446744073709551616\n",
        ],
    );
    let most = |entry: Entry| Entry {
        transmit: u64::MAX,
        receive: u64::MAX,
        ..entry
    };
    expect(
        compared(&[most(A)], &[most(B)]),
        0,
        &["sent 18446744073709551615 bytes"],
    );
    // More than a number of 64 bits is no connection.
    let text = text(&[B]).replace("\"receive\":1000", "\"receive\":18446744073709551616");
    expect(
        compared_text(&self::text(&[A]), &text),
        2,
        &["b:1: not a connection"],
    );
}

#[test]
fn what_one_has_whole_the_other_must_have_whole() {
    for (a, b) in [(false, true), (true, false)] {
        let open = |entry: Entry, is: bool| Entry {
            end: if is { "open" } else { "fin" },
            ..entry
        };
        let adopted = |entry: Entry, is: bool| Entry {
            adopted: is,
            ..entry
        };
        let who = if b {
            "NOT CONFIRMED BY party 1: 1"
        } else {
            "NOT CONFIRMED BY party 0: 1"
        };
        expect(compared(&[open(A, a)], &[open(B, b)]), 1, &[who]);
        expect(compared(&[adopted(A, a)], &[adopted(B, b)]), 1, &[who]);
    }
    // Where neither has, there is nothing to confirm; and nothing was compared.
    let open = |entry: Entry| Entry {
        end: "open",
        ..entry
    };
    let adopted = |entry: Entry| Entry {
        adopted: true,
        ..entry
    };
    expect(
        compared(&[open(A)], &[open(B)]),
        2,
        &[
            "not compared: 1 connections still open",
            "nothing could be compared",
        ],
    );
    expect(
        compared(&[adopted(A)], &[adopted(B)]),
        2,
        &["not compared: 1 connections older than an agent"],
    );
    let (more_a, more_b) = (
        Entry {
            local: "10.0.0.1:40001",
            ..A
        },
        Entry {
            remote: "10.0.0.1:40001",
            ..B
        },
    );
    expect(
        compared(&[open(A), more_a], &[adopted(B), more_b]),
        0,
        &["still open", "agreed: 1"],
    );
}

#[test]
fn nothing_is_no_agreement() {
    for (a, b) in [("", ""), (&text(&[A]), ""), ("", &text(&[B]))] {
        expect(compared_text(a, b), 2, &["nothing could be compared: "]);
    }
    expect(
        compared(&[A], &[A]),
        2,
        &["a and b are from the same party"],
    );
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let at = |entry: &Entry, times: [u32; 2], bytes: u64| {
        let back = entry.role == "acceptor";
        let (transmit, receive) = if back { (7, bytes) } else { (bytes, 7) };
        Entry {
            times,
            transmit,
            receive,
            ..entry.clone()
        }
    };
    let a = [at(&A, [601, 605], 10), at(&A, [606, 609], 20)];
    // The other's clock is four seconds behind.
    let b = [at(&B, [602, 605], 20), at(&B, [597, 601], 10)];
    expect(
        compared(&a, &b),
        0,
        &["2 connections, sent 30 bytes, received 30\n"],
    );
    // One that differs is the one that is left.
    let b = [at(&B, [602, 605], 21), at(&B, [597, 601], 10)];
    expect(
        compared(&a, &b),
        1,
        &["sent 30 bytes, received 31, RECEIVED AND NOT SENT 1\n"],
    );
    // Hours apart it is not the same.
    expect(
        compared(&[at(&A, [10, 20], 10)], &[at(&B, [3000, 3001], 10)]),
        1,
        &[
            "ONLY IN THE LEDGER OF party 0",
            "ONLY IN THE LEDGER OF party 1",
        ],
    );
}

#[test]
fn a_protocol_of_another_name_is_told() {
    let b = Entry { protocol: "q", ..B };
    expect(
        compared(&[A], &[b]),
        0,
        &["note: 1 connections have another protocol name in the ledger of party 1"],
    );
}

#[test]
fn addresses_are_the_same_however_they_are_written() {
    let a = Entry {
        local: "[::ffff:10.0.0.1]:40000",
        ..A
    };
    expect(compared(&[a], &[B]), 0, &["agreed"]);
    let a = Entry {
        local: "[fe80::1%3]:40000",
        remote: "[fe80::2%3]:5000",
        ..A
    };
    let b = Entry {
        local: "[fe80::2%7]:5000",
        remote: "[fe80::1%7]:40000",
        ..B
    };
    expect(compared(&[a], &[b]), 0, &["agreed"]);
}
