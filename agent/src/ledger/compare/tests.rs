//! Statements in memory, and what comes out. The first file is party 0's, the second party 1's.

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
fn a_line_cannot_be_forged() {
    let forged =
        r"\u001b[2J\nparty 0 -> party 1  p: 9 connections, sent 9 bytes, received 9\n\u202e";
    for at in [
        "\"party_id\":\"1\"",
        "\"protocol\":\"p\"",
        "\"node\":\"n\"",
        "\"end\":\"fin\"",
        "\"role\":\"acceptor\"",
        "\"began\":\"2026",
    ] {
        let end = usize::from(at.ends_with('"'));
        let put = format!("{}{forged}{}", &at[..at.len() - end], &at[at.len() - end..]);
        let text = text(&[B]).replace(at, &put);
        let (said, _) = compared_text(&self::text(&[A]), &text);
        let is_plain = said
            .chars()
            .all(|it| it == '\n' || !it.is_control() && it != '\u{202e}');
        assert!(is_plain, "{said:?}");
        let forged = |line: &str| line.starts_with("party 0 -> party 1  p: 9 connections");
        assert!(!said.lines().any(forged), "{said}");
    }
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
fn a_line_twice_is_told_and_counts_once() {
    expect(
        compared(&[A], &[B, B]),
        1,
        &[
            "p: 1 connections, sent 1000 bytes, received 1000\n",
            "TWICE IN THE LEDGER OF party 1: 1 lines",
        ],
    );
}

#[test]
fn lines_that_cannot_be_true_end_it() {
    let good = text(&[A]);
    let b = text(&[B]);
    let long = "x".repeat(257);
    for (what, with, said) in [
        (
            "2026-01-31T12:10:01Z",
            "9999-12-31T23:59:59Z",
            "b:1: ended is 9999-12-31T23:59:59.000000Z, not between 2020",
        ),
        (
            "2026-01-31T12:10:00Z",
            "1969-12-31T23:59:59Z",
            "b:1: not a connection",
        ),
        (
            "2026-01-31T12:10:00Z",
            "1970-01-01T00:00:00Z",
            "b:1: began is 1970-01-01",
        ),
        (
            "2026-01-31T12:10:00Z",
            "2026-01-31T12:11:00Z",
            "b:1: it ended at",
        ),
        (
            "2026-01-31T12:10:00Z",
            "12345-01-31T12:11:00Z",
            "b:1: not a connection",
        ),
        ("\"fin\"", "\"whatever\"", "b:1: end whatever is unknown"),
        ("acceptor", "bystander", "b:1: role bystander is unknown"),
        ("10.0.0.1:40000", "10.0.0.1:0", "b:1: remote is 10.0.0.1:0"),
        ("10.0.0.1:40000", "0.0.0.0:1", "b:1: remote is 0.0.0.0:1"),
        ("10.0.0.1:40000", "example.org:1", "b:1: not a connection"),
        (
            "\"protocol\":\"p\"",
            &format!("\"protocol\":\"{long}\""),
            "b:1: protocol has 257 bytes",
        ),
        ("\"node\":\"n\"", "\"node\":\"\"", "b:1: node has 0 bytes"),
        (
            "\"receive\":1000",
            "\"receive\":-1",
            "b:1: not a connection",
        ),
        (
            "\"receive\":1000",
            "\"receive\":1e3",
            "b:1: not a connection",
        ),
        (
            "\"transmit\":7",
            "\"transmit\":7,\"transmit\":7",
            "b:1: not a connection",
        ),
    ] {
        assert!(b.contains(what));
        let (text, code) = compared_text(&good, &b.replace(what, with));
        assert_eq!(code, 2, "{text}");
        assert!(
            text.starts_with(said) && text.lines().count() == 1,
            "{said:?}: {text}"
        );
    }
    expect(
        compared_text(&good, &"x".repeat(1 << 20)),
        2,
        &["b:1: longer than 8192 bytes"],
    );
    expect(
        compared_text(&good, &format!("{b}\n{b}")),
        2,
        &["b:2: not a connection"],
    );
    let other = Entry {
        party: Some("2"),
        local: "10.0.0.2:5001",
        ..B
    };
    expect(
        compared(&[A], &[B, other]),
        2,
        &["b:2: this line is of party 2, and lines above are of party 1"],
    );
}

#[test]
fn names_are_bounded() {
    let line = text(&[B]);
    let all: String = (0..9000)
        .map(|number| {
            let (address, name) = (
                format!("10.0.0.1:{}", 1000 + number),
                format!("\"protocol\":\"p{number}\""),
            );
            line.replace(A.local, &address)
                .replace("\"protocol\":\"p\"", &name)
        })
        .collect();
    expect(
        compared_text(&text(&[A]), &all),
        2,
        &["more than 8192 different names"],
    );
}

#[test]
fn connections_with_a_third_are_nobody_elses() {
    let third = Entry {
        peer: "2",
        local: "10.0.0.1:40001",
        remote: "10.0.0.3:5000",
        ..A
    };
    let thirds = Entry {
        peer: "2",
        local: "10.0.0.2:40001",
        remote: "10.0.0.3:5000",
        role: "initiator",
        ..B
    };
    expect(
        compared(&[A, third.clone()], &[B, thirds]),
        0,
        &[
            "not compared: 1 connections of party 0 with third parties",
            "not compared: 1 connections of party 1 with third parties",
            "agreed: 1",
        ],
    );
    // One with the other party that it does not have.
    let hidden = Entry {
        local: "10.0.0.1:40002",
        ..A
    };
    expect(
        compared(&[A, hidden, third], &[B]),
        1,
        &["ONLY IN THE LEDGER OF party 0, not of party 1: p 10.0.0.1:40002"],
    );
}

#[test]
fn parties_that_are_named_differently_are_known_by_what_both_have() {
    let (a, b) = (
        Entry {
            peer: "hospital",
            ..A
        },
        Entry { peer: "bank", ..B },
    );
    let third = Entry {
        peer: "clinic",
        local: "10.0.0.1:40001",
        remote: "10.0.0.3:5000",
        ..A
    };
    expect(
        compared(&[a.clone(), third.clone()], std::slice::from_ref(&b)),
        0,
        &["1 connections of party 0 with third parties"],
    );
    let hidden = Entry {
        local: "10.0.0.1:40002",
        ..a.clone()
    };
    expect(
        compared(&[a, hidden.clone(), third], std::slice::from_ref(&b)),
        1,
        &["ONLY IN THE LEDGER OF party 0"],
    );
    // Nothing says that they are the same: neither the ends nor the bytes.
    let unlike = Entry {
        transmit: 999,
        ..hidden
    };
    expect(
        compared(&[unlike], &[b]),
        2,
        &[
            "not compared: 1 connections of party 0 with addresses that neither file assigns to party 1",
        ],
    );
}

#[test]
fn parties_may_be_addresses() {
    let a = Entry {
        party: None,
        peer: "10.0.0.2",
        ..A
    };
    let b = Entry {
        party: None,
        peer: "10.0.0.1",
        ..B
    };
    let third = Entry {
        peer: "10.0.0.3",
        local: "10.0.0.1:40001",
        remote: "10.0.0.3:5000",
        ..a.clone()
    };
    expect(
        compared(&[a.clone(), third], std::slice::from_ref(&b)),
        0,
        &["1 connections of a with addresses that neither file assigns to b"],
    );
    let hidden = Entry {
        peer: "unknown",
        local: "10.0.0.1:40002",
        ..a.clone()
    };
    expect(
        compared(&[a, hidden], &[b]),
        1,
        &["ONLY IN THE LEDGER OF a"],
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
fn clients_behind_a_translation_are_matched_by_bytes_and_time() {
    let b = Entry {
        peer: "unknown",
        remote: "192.0.2.1:61000",
        ..B
    };
    let how = "p: 1 connections matched by bytes and time (NAT), sent 1000 bytes, received 1000\n";
    let (said, code) = compared(&[A], std::slice::from_ref(&b));
    assert!(
        said.contains(how) && !said.contains("in the order of time"),
        "{said}"
    );
    assert_eq!(code, 0);
    // Anything else that both know must be the same.
    for other in [
        Entry {
            receive: 999,
            ..b.clone()
        },
        Entry {
            transmit: 8,
            ..b.clone()
        },
        Entry {
            protocol: "q",
            ..b.clone()
        },
        Entry {
            local: "10.0.0.2:5001",
            ..b.clone()
        },
        Entry {
            role: "initiator",
            ..b.clone()
        },
        Entry {
            adopted: true,
            ..b.clone()
        },
        Entry {
            times: [631, 632],
            ..b.clone()
        },
    ] {
        let (said, code) = compared(&[A], &[other]);
        assert!(
            code == 1 && said.contains("ONLY IN THE LEDGER OF party 0"),
            "{said}"
        );
        assert!(!said.contains("translated"), "{said}");
    }
    // Counted apart from those that need none of it.
    let (direct_a, direct_b) = (
        Entry {
            local: "10.0.0.9:40000",
            ..A
        },
        Entry {
            remote: "10.0.0.9:40000",
            ..B
        },
    );
    let direct = "party 0 -> party 1  p: 1 connections, sent 1000 bytes, received 1000\n";
    expect(
        compared(&[A, direct_a], &[b, direct_b]),
        0,
        &[direct, how, "agreed: 2"],
    );
}

#[test]
fn a_service_behind_a_translation_is_matched_by_bytes_and_time() {
    // As with a ClusterIP of Kubernetes.
    let a = Entry {
        remote: "10.96.0.7:80",
        ..A
    };
    expect(
        compared(std::slice::from_ref(&a), &[B]),
        0,
        &["1 connections matched by bytes and time (NAT)"],
    );
    // Where both ends are translated, nothing is left to go by.
    let b = Entry {
        peer: "unknown",
        remote: "192.0.2.1:61000",
        ..B
    };
    expect(compared(&[a], &[b]), 1, &["ONLY IN THE LEDGER OF party 0"]);
}

#[test]
fn those_that_look_alike_across_a_translation_are_told() {
    let a =
        ["10.0.0.1:40000", "10.0.0.1:40001", "10.0.0.1:40002"].map(|local| Entry { local, ..A });
    let b = ["192.0.2.1:61000", "192.0.2.1:61001"].map(|remote| Entry {
        peer: "unknown",
        remote,
        ..B
    });
    expect(
        compared(&a, &b),
        1,
        &[
            "2 connections matched by bytes",
            "2 of the connections matched across NAT are ambiguous",
            "ONLY IN THE LEDGER OF party 0, not of party 1: p 10.0.0.1:40002",
        ],
    );
    expect(
        compared(&a[..2], &b),
        0,
        &["2 of the connections matched across NAT are ambiguous"],
    );
    // Minutes apart they do not look alike.
    let later = |entry: &Entry| Entry {
        times: [900, 901],
        ..entry.clone()
    };
    let (said, code) = compared(&[a[0].clone(), later(&a[1])], &[b[0].clone(), later(&b[1])]);
    assert!(
        code == 0 && !said.contains("in the order of time"),
        "{said}"
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
