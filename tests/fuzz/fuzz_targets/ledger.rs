//! Ledgers of two parties, compared: one, a line `===`, the other. Where the second is missing, it is what an honest
//! other party would have.

#![no_main]

use libfuzzer_sys::fuzz_target;
use partymeter::ledger::{Entry, compare::compare_texts};
use partymeter_fuzz::{assert_line_exists, assert_plain, bounded, prepare};

/// For each byte of input: a connection has some 300 and is kept in several lists.
const MEMORY: usize = 64;
/// What is held whatever the input.
const BASE: usize = 1 << 18;

fuzz_target!(init: prepare(), |data: &[u8]| {
    let separator = b"\n===\n";
    let at = data.windows(separator.len()).position(|it| it == separator);
    let (a, b) = at.map_or((data, None), |at| {
        (&data[..=at], Some(&data[at + separator.len()..]))
    });
    a.split(|byte| *byte == b'\n').for_each(printed_again);
    if let Some(b) = b {
        let (outcome, _) = compared(a, b);
        let (other, _) = compared(b, a);
        assert_eq!(outcome, other, "who comes first does not matter");
    }
    if let Some(other) = honest(a) {
        let (outcome, said) = compared(a, other.as_bytes());
        // Lines that say the same again are wrong in both.
        let agrees = outcome != Some(false) || said.contains("TWICE IN THE LEDGER");
        assert!(agrees, "honest parties disagree:\n{said}");
    }
});

/// What is read of a line and written again is read as the same.
fn printed_again(line: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
        return;
    };
    // Times lose what is less than a microsecond, once.
    let written = serde_json::to_string(&entry).expect("an entry is JSON");
    let again: Entry = serde_json::from_str(&written).expect("what is written can be read");
    assert_eq!(serde_json::to_string(&again).ok(), Some(written));
    let counts = |it: &Entry| (it.transmit, it.receive, it.retransmit, it.adopted);
    assert_eq!(counts(&again), counts(&entry));
    assert_eq!((again.local, again.remote), (entry.local, entry.remote));
    assert_eq!((again.peer, again.end), (entry.peer, entry.end));
}

/// Whether they agree, `None`: nothing could be compared; and what was said.
fn compared(a: &[u8], b: &[u8]) -> (Option<bool>, String) {
    let mut out = Vec::new();
    let limit = BASE + MEMORY * (a.len() + b.len());
    let outcome = bounded(limit, || compare_texts(a, b, &mut out));
    let said = String::from_utf8(out).expect("what is said is text");
    said.lines().for_each(assert_plain);
    match outcome {
        Ok(agreed) => {
            let last = said.lines().last().unwrap_or_default();
            assert_eq!(last.starts_with("agreed: "), agreed, "{said}");
            (Some(agreed), said)
        }
        Err(error) => {
            let message = error.to_string();
            assert_plain(&message);
            assert!(message.len() < 4096, "{} bytes of message", message.len());
            assert_line_exists(&message, "A", a);
            assert_line_exists(&message, "B", b);
            (None, said)
        }
    }
}

/// What the other party has, if this is a ledger.
fn honest(text: &[u8]) -> Option<String> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut all = String::new();
    for line in text.split(|byte| *byte == b'\n') {
        let entry: Entry = serde_json::from_slice(line).ok()?;
        let role = match entry.role.as_str() {
            "initiator" => "acceptor",
            "acceptor" => "initiator",
            _ => return None,
        };
        let other = Entry {
            node: "other".to_owned(),
            party_id: None,
            peer: entry.party_id.unwrap_or_else(|| "unknown".to_owned()),
            role: role.to_owned(),
            local: entry.remote,
            remote: entry.local,
            transmit: entry.receive,
            receive: entry.transmit,
            ..entry
        };
        all += &serde_json::to_string(&other).ok()?;
        all.push('\n');
    }
    Some(all)
}
