//! Configurations and host names that change while the agent runs, and the open connections that they are about.

mod traffic;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{
    Agent, Lab,
    agent::{Bytes, Scratch},
    received, sent, until_true,
};

fn exchange(mut from: &TcpStream, mut to: &TcpStream, amount: usize) {
    from.write_all(&vec![1; amount]).unwrap();
    to.read_exact(&mut vec![0; amount]).unwrap();
}

fn party(id: &str, endpoint: &str) -> String {
    format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{endpoint}\"]\n")
}

const SUCCESS: &str = "partymeter_config_reload_success";
const TIMESTAMP: &str = "partymeter_config_reload_timestamp_seconds";

/// Replaces the file and sends SIGHUP; waits until it has been read, and a round more.
fn reload(agent: &Agent, config: &str) {
    let before = agent.series(TIMESTAMP).unwrap();
    let next = agent.config().with_extension("next");
    fs::write(&next, agent.whole(config)).unwrap();
    fs::rename(&next, agent.config()).unwrap();
    agent.signal(libc::SIGHUP);
    taken(agent, before);
}

/// Waits until a configuration has been taken in after that time, and counts.
fn taken(agent: &Agent, before: f64) {
    until_true(
        || agent.series(TIMESTAMP).unwrap() > before,
        || format!("not taken in\n{}", agent.log()),
    );
    agent.after_rounds(2);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn parties_come_go_and_change_while_a_connection_is_open() {
    let lab = Lab::new();
    let (at_a, at_b) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    let with = |parties: &[String]| parties.concat() + &lab.protocol();
    let agent = Agent::start(&with(&[party("b", &at_b)]));
    let (a, b) = lab.connection();
    exchange(&a, &b, 1000);
    agent.expect(&[
        ("b", "test", sent(1000)),
        ("unknown", "test", received(1000)),
    ]);

    // A new party: what was unknown until now stays so.
    reload(&agent, &with(&[party("b", &at_b), party("a", &at_a)]));
    exchange(&a, &b, 500);
    agent.expect(&[
        ("b", "test", sent(1500)),
        ("unknown", "test", received(1000)),
        ("a", "test", received(500)),
    ]);

    // Another name for an address.
    reload(&agent, &with(&[party("c", &at_b), party("a", &at_a)]));
    exchange(&a, &b, 20);
    agent.expect(&[
        ("b", "test", sent(1500)),
        ("c", "test", sent(20)),
        ("a", "test", received(520)),
    ]);

    // Gone: the connection that A opened is nobody's.
    reload(&agent, &with(&[party("a", &at_a)]));
    exchange(&a, &b, 7);
    agent.expect(&[
        ("b", "test", sent(1500)),
        ("c", "test", sent(20)),
        ("a", "test", received(527)),
    ]);

    // Back, by its port: it goes on where it was.
    let exact = format!("{at_b}:{}", lab.port(0));
    reload(&agent, &with(&[party("a", &at_a), party("c", &exact)]));
    exchange(&a, &b, 4);
    drop((a, b));
    agent.expect(&[
        ("b", "test", sent(1500)),
        ("c", "test", sent(24)),
        ("a", "test", received(531)),
    ]);
    agent.wait_for("party b is gone; its series stay as they are");
    agent.wait_for(&format!("party c is new, at {at_b}"));
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn protocols_come_go_and_change_while_a_connection_is_open() {
    let lab = Lab::new();
    let parties = party("a", &lab.v4(1).to_string()) + &party("b", &lab.v4(2).to_string());
    let protocol = |name: &str, port: u16| {
        parties.clone() + &format!("[[protocols]]\nname = \"{name}\"\nports = [{port}]\n")
    };
    let agent = Agent::start(&protocol("first", lab.port(0)));
    let (a, b) = lab.connection();
    exchange(&a, &b, 1000);
    agent.expect(&[("b", "first", sent(1000)), ("a", "first", received(1000))]);
    reload(&agent, &protocol("second", lab.port(0)));
    exchange(&a, &b, 100);
    agent.expect(&[("b", "first", sent(1000)), ("b", "second", sent(100))]);
    reload(&agent, &protocol("second", lab.port(1)));
    exchange(&a, &b, 10);
    agent.expect(&[("b", "second", sent(100)), ("b", "other", sent(10))]);
    reload(&agent, &protocol("first", lab.port(0)));
    exchange(&a, &b, 1);
    agent.expect(&[
        ("b", "first", sent(1001)),
        ("b", "second", sent(100)),
        ("b", "other", sent(10)),
        ("a", "first", received(1001)),
    ]);
}

/// Without parties each address is one; with parties it is not; and back.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn automatic_parties_come_and_go() {
    let lab = Lab::new();
    let at_b = lab.v4(2).to_string();
    let agent = Agent::start(&lab.protocol());
    let (a, b) = lab.connection();
    exchange(&a, &b, 1000);
    agent.expect(&[(&at_b, "test", sent(1000))]);
    reload(&agent, &lab.config());
    exchange(&a, &b, 100);
    agent.expect(&[(&at_b, "test", sent(1000)), ("b", "test", sent(100))]);
    reload(&agent, &lab.protocol());
    exchange(&a, &b, 10);
    agent.expect(&[(&at_b, "test", sent(1010)), ("b", "test", sent(100))]);
}

/// However the file changes, it is read again without a signal.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn every_way_to_change_the_file_is_noticed() {
    let lab = Lab::new();
    let root = Scratch::new("map");
    let version = |name: &str| root.0.join(name);
    fs::create_dir_all(version("..one")).unwrap();
    symlink("..one", root.0.join("..data")).unwrap();
    symlink("..data/c.toml", root.0.join("c.toml")).unwrap();
    let agent = Agent::launch_from(Scratch::at(root.0.join("c.toml")), &lab.config(), &[]);
    let config = |id: &str| agent.whole(&(lab.config() + &party(id, "192.0.2.1")));
    let after = |change: &dyn Fn()| {
        let before = agent.series(TIMESTAMP).unwrap();
        change();
        taken(&agent, before);
    };
    // As Kubernetes swaps a ConfigMap.
    after(&|| {
        fs::create_dir(version("..two")).unwrap();
        fs::write(version("..two/c.toml"), config("swapped")).unwrap();
        symlink("..two", version("..data_tmp")).unwrap();
        fs::rename(version("..data_tmp"), version("..data")).unwrap();
        fs::remove_dir_all(version("..one")).unwrap();
    });
    agent.wait_for("party swapped is new, at 192.0.2.1");
    // In place, where the link leads to.
    after(&|| fs::write(version("..two/c.toml"), config("written")).unwrap());
    agent.wait_for("party written is new");
    // As editors do: the link gives way to a file, and that to another.
    for id in ["renamed", "again"] {
        after(&|| {
            fs::write(version("c.toml~"), config(id)).unwrap();
            fs::rename(version("c.toml~"), version("c.toml")).unwrap();
        });
        agent.wait_for(&format!("party {id} is new"));
    }
    // Gone for a while.
    fs::remove_file(version("c.toml")).unwrap();
    agent.wait_for("c.toml: cannot be read: No such file or directory");
    assert_eq!(agent.series(SUCCESS), Some(0.0));
    after(&|| fs::write(version("c.toml"), config("back")).unwrap());
    agent.wait_for("party back is new");
    assert_eq!(agent.series(SUCCESS), Some(1.0));
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_broken_file_changes_nothing_and_every_error_is_told() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let taken_before = agent.series(TIMESTAMP).unwrap();
    let (a, b) = lab.connection();
    exchange(&a, &b, 10);
    let broken = lab.config() + "[[parties]]\nid = \"x\"\nendpoints = [\"10.0.0.1/8\", \"a b\"]\n";
    fs::write(agent.config(), agent.whole(&broken)).unwrap();
    agent.signal(libc::SIGHUP);
    agent.wait_for("10.0.0.1/8 has host bits set; help: write 10.0.0.0/8");
    agent.wait_for("\"a b\" is not an address, prefix or host name");
    agent.wait_for("reload rejected (2 errors); keeping the previous configuration");
    assert_eq!(agent.series(SUCCESS), Some(0.0));
    assert_eq!(agent.series(TIMESTAMP), Some(taken_before));
    exchange(&a, &b, 1);
    agent.expect_moved(11, 0);

    // More than there is room for is an error as well.
    let crowd: String = (0..100)
        .map(|id| party(&id.to_string(), &format!("192.0.2.{id}")))
        .collect();
    fs::write(agent.config(), agent.whole(&(lab.config() + &crowd))).unwrap();
    agent.wait_for(
        "102 parties are or were configured, and there is room for 66; help: restart the agent",
    );
    assert_eq!(agent.series(SUCCESS), Some(0.0));

    // What cannot change while it runs says so, and the rest is taken in.
    let text = agent.whole(&(lab.config() + &party("x", "192.0.2.1")));
    let text = format!("node = \"elsewhere\"\n{}", text.replace("200ms", "3s"));
    fs::write(agent.config(), text).unwrap();
    taken(&agent, taken_before);
    agent.wait_for("interval: keeping 200ms; help: restart the agent to apply 3s");
    agent.wait_for("restart the agent to apply \"elsewhere\"");
    agent.wait_for("party x is new");
    assert_eq!(agent.series(SUCCESS), Some(1.0));
    agent.expect_moved(11, 0);
}

/// A party's name stands for another address from now on. The agent has a file of hosts of its own.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_host_name_follows_its_addresses() {
    let lab = Lab::new();
    let hosts = Scratch::with("hosts", "192.0.2.77 party-b.test\n");
    let mount = format!(
        "mount --bind {} /etc/hosts && exec \"$0\" \"$@\"",
        hosts.0.display()
    );
    let config =
        party("b", "party-b.test") + &lab.protocol() + "[network]\nresolve_interval = \"1s\"\n";
    let wrapper = ["unshare", "-m", "sh", "-c", &mount];
    let agent = Agent::launch(&config, &wrapper);
    let (a, b) = lab.connection();
    exchange(&a, &b, 1000);
    fs::write(&hosts.0, format!("{} party-b.test\n", lab.v4(2))).unwrap();
    let has = |address: &str, when: &str| {
        format!("the host name \"party-b.test\" {when} the address {address}")
    };
    agent.wait_for(&has(&lab.v4(2).to_string(), "now has"));
    agent.after_rounds(2);
    exchange(&a, &b, 23);
    agent.expect(&[("b", "test", sent(23))]);

    // Nowhere: what it had, it keeps.
    fs::write(&hosts.0, "\n").unwrap();
    agent.wait_for("the host name \"party-b.test\" does not resolve");
    exchange(&a, &b, 2);
    agent.expect(&[("b", "test", sent(25))]);

    // Elsewhere, and after the grace no longer here.
    fs::write(&hosts.0, "192.0.2.78 party-b.test\n").unwrap();
    agent.wait_for("the host name \"party-b.test\" resolves now");
    agent.wait_for(&has(&lab.v4(2).to_string(), "no longer has"));
    agent.after_rounds(2);
    exchange(&a, &b, 5);
    agent.expect(&[("b", "test", sent(25))]);
}

/// A configuration from a pipe is there once: asked to read it again, the agent keeps it.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_pipe_is_not_read_again() {
    let lab = Lab::new();
    let piped = "exec \"$0\" \"$1\" \"$2\" <(cat \"$3\") \"${@:4}\"";
    let agent = Agent::launch(&lab.config(), &["bash", "-c", piped]);
    agent.signal(libc::SIGHUP);
    agent.wait_for("SIGHUP: there is no configuration file that can be read again");
    let (a, b) = lab.connection();
    exchange(&a, &b, 10);
    agent.expect_moved(10, 0);
    assert_eq!(agent.series(SUCCESS), Some(1.0));
}
