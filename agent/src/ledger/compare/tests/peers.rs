//! Whose connections are compared.

use super::*;

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
