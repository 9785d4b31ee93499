//! Counters outlive the agent: whatever becomes of it, the next one goes on, with nothing lost and nothing twice.
//!
//! Each test has a BPF file system of its own. `kills` is the agent killed at any moment, `chaos` everything at once,
//! `configuration` one that is another when it comes back, `directory` whose the pinned things are and what is left of
//! them, `taken` what somebody takes away from an agent that runs.

mod chaos;
mod configuration;
mod directory;
mod kills;
mod taken;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{self, sleep},
    time::Duration,
};

use crate::support::{
    Agent, Lab,
    agent::{Bytes, Scratch},
    lab::run,
    until_true,
};

/// A BPF file system; gone when dropped, with all that is pinned in it.
pub(crate) struct FileSystem(Scratch);

impl FileSystem {
    pub(crate) fn new() -> Self {
        let place = Scratch::new("bpf");
        fs::create_dir(&place.0).unwrap();
        run(&format!("mount -t bpf bpf {}", place.0.display()));
        Self(place)
    }

    /// Where the agents here pin.
    fn directory(&self) -> PathBuf {
        self.0.0.join("counters")
    }

    /// The section of a configuration.
    pub(crate) fn network(&self) -> String {
        format!(
            "[network]\nbpf_pin_path = \"{}\"\n",
            self.directory().display()
        )
    }

    /// Loads of the programs that are attached: more than one while an agent takes over.
    fn generations(&self) -> usize {
        let names = self.names();
        let links = names.iter().filter_map(|name| name.strip_prefix("link-"));
        let all: BTreeSet<&str> = links.filter_map(|name| name.split('-').next()).collect();
        all.len()
    }

    /// Waits until the programs of the tracepoint are attached, or are not.
    pub(crate) fn expect_tracepoint(&self, attached: bool) {
        let is = || {
            let names = self.names();
            let mut links = names.iter().filter(|name| name.starts_with("link-"));
            links.any(|name| name.ends_with("-set_state"))
        };
        until_true(|| is() == attached, || format!("{:?}", self.names()));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        run(&format!("umount {}", self.0.0.display()));
    }
}

fn of(agent: &Agent, series: &str) -> f64 {
    agent.series(series).unwrap_or(0.0)
}

/// Waits until a figure is as it must be.
pub(crate) fn expect(agent: &Agent, series: &str, wanted: f64) {
    until_true(
        || agent.series(series) == Some(wanted),
        || format!("{series}: {:?} is not {wanted}", agent.series(series)),
    );
}

/// One end writes, the other reads all of it.
pub(crate) fn move_bytes(mut from: &TcpStream, mut to: &TcpStream, bytes: usize) {
    from.write_all(&vec![1; bytes]).unwrap();
    to.read_exact(&mut vec![0; bytes]).unwrap();
}

/// What programs have counted themselves.
#[derive(Default)]
struct Truth {
    a_to_b: AtomicU64,
    b_to_a: AtomicU64,
    connections: AtomicU64,
}

impl Truth {
    /// Bytes go both ways over a connection.
    fn exchange(&self, a: &TcpStream, b: &TcpStream, [up, down]: [usize; 2]) {
        move_bytes(a, b, up);
        self.a_to_b.fetch_add(up as u64, Relaxed);
        move_bytes(b, a, down);
        self.b_to_a.fetch_add(down as u64, Relaxed);
    }
}

/// The lab's pairs, as the programs have counted them.
fn expect_truth(agent: &Agent, truth: &Truth, open: u64) {
    agent.expect_moved(truth.a_to_b.load(Relaxed), truth.b_to_a.load(Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let (all, open) = (truth.connections.load(Relaxed) as f64, open as f64);
    for (party, role) in [("b", "initiator"), ("a", "acceptor")] {
        let pair = format!("party_id=\"{party}\",protocol=\"test\"");
        let opened = format!("mpc_connections_opened_total{{role=\"{role}\",{pair}}}");
        assert_eq!(agent.series(&opened), Some(all), "{opened}");
        let closed = |reason| {
            let series = format!("mpc_connections_closed_total{{reason=\"{reason}\",{pair}}}");
            of(agent, &series)
        };
        let sum: f64 = ["fin", "reset", "timeout"].map(closed).iter().sum();
        assert!(
            (sum - (all - open)).abs() < 0.5,
            "{party}: {sum} closed of {all}"
        );
        expect(agent, &format!("mpc_connections{{{pair}}}"), open);
    }
}

/// What a pair should have counted.
fn bytes(transmit: u64, receive: u64) -> Bytes {
    Bytes { transmit, receive }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_begins_and_ends_without_an_agent_counts() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let agent = Agent::start(&config);
    assert_eq!(
        fs::metadata(files.directory())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert!(agent.get("/metrics").contains(",pin=\"on\","));
    let truth = Truth::default();
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let connect = || {
        truth.connections.fetch_add(1, Relaxed);
        let a = lab.connect_to(address);
        (a, listener.accept().unwrap().0)
    };
    let before = connect();
    truth.exchange(&before.0, &before.1, [1000, 10]);
    expect_truth(&agent, &truth, 1);
    // As a system does it.
    let (status, _) = agent.stop();
    assert!(status.success());

    for _ in 0..10 {
        let (a, b) = connect();
        truth.exchange(&a, &b, [20_000, 300]);
    }
    let (stays, ends) = (connect(), connect());
    truth.exchange(&stays.0, &stays.1, [5, 7]);
    truth.exchange(&before.0, &before.1, [100_000, 1]);
    drop(ends);

    let agent = Agent::start(&config);
    assert!(agent.log().contains("resuming the counters under "));
    expect_truth(&agent, &truth, 2);
    truth.exchange(&before.0, &before.1, [1, 1]);
    drop((before, stays));
    expect(
        &agent,
        "mpc_connections{party_id=\"b\",protocol=\"test\"}",
        0.0,
    );
    expect_truth(&agent, &truth, 0);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn messages_and_failures_count_once_over_restarts() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let mut agent = Agent::start(&config);
    let (a, b) = lab.connection();
    let done = AtomicBool::new(false);
    let closed = SocketAddr::from((lab.v4(2), lab.port(9)));
    let (rounds, refused) = thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut rounds = 0_u64;
            while !done.load(Relaxed) {
                move_bytes(&a, &b, 10);
                move_bytes(&b, &a, 10);
                rounds += 1;
                // The agent wants a part of the machine, too.
                sleep(Duration::from_micros(500));
            }
            rounds
        });
        let knock = scope.spawn(|| {
            lab.a.enter(|| {
                let mut refused = 0_u64;
                while !done.load(Relaxed) {
                    TcpStream::connect(closed).unwrap_err();
                    refused += 1;
                    // As above.
                    sleep(Duration::from_millis(1));
                }
                refused
            })
        });
        for _ in 0..10 {
            agent.after_rounds(1);
            agent.kill();
            agent = Agent::start(&config);
        }
        done.store(true, Relaxed);
        (talk.join().unwrap(), knock.join().unwrap())
    });
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let (rounds, refused) = (rounds as f64, refused as f64);
    for party in ["a", "b"] {
        let pair = format!("party_id=\"{party}\",protocol=\"test\"");
        for direction in ["transmit", "receive"] {
            let series = format!("mpc_messages_total{{direction=\"{direction}\",{pair}}}");
            expect(&agent, &series, rounds);
        }
    }
    let pair = "party_id=\"b\",protocol=\"test\"";
    expect(&agent, &format!("mpc_rounds_total{{{pair}}}"), rounds);
    expect(
        &agent,
        &format!("mpc_connection_failures_total{{{pair}}}"),
        refused,
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn datagrams_count_without_an_agent_and_a_stranger_is_one() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let party = format!("[[parties]]\nid = \"b\"\nendpoints = [\"{}\"]\n", lab.v4(2));
    let protocol = format!(
        "[[protocols]]\nname = \"test\"\ntransport = \"udp\"\nports = [{}]\n",
        lab.port(0)
    );
    // A is no party.
    let config = party + &protocol + &files.network();
    let bind = |host, port| UdpSocket::bind(SocketAddr::from((lab.v4(host), port))).unwrap();
    let to = lab.b.enter(|| bind(2, lab.port(0)));
    let from = lab.a.enter(|| bind(1, lab.port(1)));
    let send = |number: u64| {
        for _ in 0..number {
            from.send_to(&[0; 100], to.local_addr().unwrap()).unwrap();
            to.recv(&mut [0; 200]).unwrap();
        }
    };
    let check = |agent: &Agent, number: u64| {
        agent.expect(&[
            ("b", "test", bytes(100 * number, 0)),
            ("unknown", "test", bytes(0, 100 * number)),
        ]);
        let strangers = "mpc_unexpected_connections_total{protocol=\"test\",role=\"acceptor\"}";
        assert_eq!(agent.series(strangers), Some(1.0));
    };
    let agent = Agent::start(&config);
    send(10);
    check(&agent, 10);
    drop(agent);
    send(20);
    let agent = Agent::start(&config);
    send(3);
    check(&agent, 33);
    drop(agent);
    // Not counted, and again: what was counted stays.
    let without = Agent::start(&(lab.config() + &files.network()));
    send(5);
    drop(without);
    let agent = Agent::start(&config);
    check(&agent, 33);
}
