//! Connections across network address translation.

use super::*;

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
