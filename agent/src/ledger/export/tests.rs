//! What is printed of lines that are given, and what is told.

use super::*;

fn line(peer: &str, port: u16) -> String {
    format!(
        "{{\"node\":\"n\",\"peer\":\"{peer}\",\"protocol\":\"p\",\"role\":\"initiator\",\"local\":\"10.0.0.1:{port}\",\
         \"remote\":\"10.0.0.2:5000\",\"began\":\"2026-01-31T12:00:00Z\",\"ended\":\"2026-01-31T12:00:01Z\",\
         \"end\":\"fin\",\"adopted\":false,\"transmit\":1,\"receive\":2,\"retransmit\":0}}"
    )
}

fn exported(peers: &Peers, text: &str) -> (Vec<String>, Notes) {
    let mut export = Export {
        since: None,
        peers,
        open: HashMap::new(),
        printed: false,
        others: BTreeSet::new(),
        broken: 0,
        torn: 0,
    };
    let (mut out, mut notes) = (Vec::new(), Notes::new());
    export.print(Lines::new(text.as_bytes()), &mut out).unwrap();
    export.add_notes("here", &mut notes);
    let out = String::from_utf8(out).unwrap();
    (out.lines().map(str::to_owned).collect(), notes)
}

#[test]
fn dealings_with_others_stay_here() {
    let lines = [line("1", 1), line("2", 2), line("1", 3), line("unknown", 4)];
    let text = lines.join("\n") + "\n";
    let only = |names: &[&str]| Peers::Only(names.iter().map(|it| (*it).to_owned()).collect());
    let (found, notes) = exported(&only(&["1"]), &text);
    assert_eq!(found, [lines[0].clone(), lines[2].clone()]);
    assert_eq!(notes, Notes::new());
    assert_eq!(exported(&only(&["1", "unknown"]), &text).0.len(), 3);
    assert_eq!(exported(&Peers::All, &text).0, lines);
    let (found, notes) = exported(&only(&["3"]), &text);
    assert!(found.is_empty());
    assert_eq!(
        notes,
        ["no connection in here is with 3; the peers in it are 1, 2, unknown"]
    );
}

#[test]
fn what_is_cut_short_is_told_apart_from_what_is_broken() {
    let whole = line("1", 1);
    let text = format!("{whole}\n{{}}\n{}\n{}", "x".repeat(100_000), &whole[..40]);
    let (found, notes) = exported(&Peers::All, &text);
    assert_eq!(found, [whole]);
    assert_eq!(
        notes,
        [
            "1 files in here end within a line, as after a kill: those lines are left out",
            "2 lines in here are not connections: they are left out",
        ]
    );
}
