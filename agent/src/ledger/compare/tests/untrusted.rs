//! A file that is meant to mislead.

use super::*;

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
