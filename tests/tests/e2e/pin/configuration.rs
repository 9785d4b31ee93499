//! An agent that goes on with another configuration.

use std::fs;

use super::{FileSystem, bytes, move_bytes};
use crate::support::{Agent, Lab};

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn another_configuration_keeps_the_numbers() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let party = |id: &str, host: u8| {
        format!(
            "[[parties]]\nid = \"{id}\"\nendpoints = [\"{}\"]\n",
            lab.v4(host)
        )
    };
    let protocol = |name: &str, ports: [u16; 2]| {
        let [first, last] = ports.map(|index| lab.port(index));
        format!("[[protocols]]\nname = \"{name}\"\nports = [\"{first}-{last}\"]\n")
    };
    let start = |parties: &str, protocols: &str| {
        Agent::start(&(parties.to_owned() + protocols + &files.network()))
    };
    let first = start(&(party("a", 1) + &party("b", 2)), &protocol("test", [0, 9]));
    let open = lab.connection();
    move_bytes(&open.0, &open.1, 100);
    first.expect(&[("a", "test", bytes(0, 100)), ("b", "test", bytes(100, 0))]);
    drop(first);

    // A is gone, somebody else is before it, B is named otherwise, and so is a half of the ports.
    let second = start(
        &(party("0", 9) + &party("other b", 2)),
        &(protocol("another", [10, 19]) + &protocol("test", [0, 9])),
    );
    move_bytes(&open.0, &open.1, 10);
    second.expect(&[
        ("other b", "test", bytes(10, 0)),
        ("0", "test", bytes(0, 0)),
    ]);
    let listener = lab.listen(10);
    let a = lab.connect_to(listener.local_addr().unwrap());
    let (b, _) = listener.accept().unwrap();
    move_bytes(&a, &b, 7);
    second.expect(&[("other b", "another", bytes(7, 0))]);
    assert_eq!(
        second
            .series("network_bytes_total{direction=\"receive\",party_id=\"a\",protocol=\"test\"}"),
        None
    );
    drop(second);

    let third = start(
        &(party("a", 1) + &party("b", 2)),
        &protocol("test", [0, 19]),
    );
    move_bytes(&open.0, &open.1, 1);
    move_bytes(&a, &b, 2);
    third.expect(&[("b", "test", bytes(103, 0)), ("a", "test", bytes(0, 103))]);
    // While it runs, too.
    let more = party("a", 1) + &party("b", 2) + &party("late", 8) + &protocol("test", [0, 19]);
    fs::write(third.config(), third.whole(&(more + &files.network()))).unwrap();
    third.wait_for("party late is new");
    drop(third);
    let fourth = start(&party("late", 2), &protocol("test", [0, 19]));
    move_bytes(&open.0, &open.1, 20);
    fourth.expect(&[("late", "test", bytes(20, 0))]);
    drop(fourth);

    // More than there is room for begins anew, and says so.
    let crowd: String = (10..100)
        .map(|host| party(&format!("crowd {host}"), host))
        .collect();
    let fifth = start(&(party("b", 2) + &crowd), &protocol("test", [0, 19]));
    fifth.wait_for("counters start at 0: cannot resume from ");
    assert!(
        fifth
            .log()
            .contains(" parties are or were configured, and there is room for 66"),
        "{}",
        fifth.log()
    );
    move_bytes(&open.0, &open.1, 3);
    fifth.expect(&[("b", "test", bytes(3, 0))]);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn automatic_parties_go_on() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.protocol() + &files.network();
    let first = Agent::start(&config);
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 100);
    let (here, there) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    first.expect(&[
        (&here, "test", bytes(0, 100)),
        (&there, "test", bytes(100, 0)),
    ]);
    drop(first);
    move_bytes(&a, &b, 10);
    let second = Agent::start(&config);
    second.expect(&[
        (&here, "test", bytes(0, 110)),
        (&there, "test", bytes(110, 0)),
    ]);
    drop(second);
    // Now they have names.
    let third = Agent::start(&(lab.config() + &files.network()));
    move_bytes(&a, &b, 1);
    third.expect(&[
        (&there, "test", bytes(110, 0)),
        ("a", "test", bytes(0, 1)),
        ("b", "test", bytes(1, 0)),
    ]);
}
