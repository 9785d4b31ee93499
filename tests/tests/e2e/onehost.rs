//! Several parties at one address, as their developers run them: each is known by the port that it listens on, and
//! whoever opens a connection to it comes from another one.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use crate::support::{Agent, Lab, agent::Bytes, lab::Namespace, receiver::python};

/// A party as a program of its own, `party.py`; ended when dropped.
struct Party {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Party {
    fn start(namespace: &Namespace, own: u16, at: &[SocketAddr]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/party.py");
        let mut child = Command::new("ip")
            .args(["netns", "exec", &namespace.name])
            .arg(python("socket"))
            .arg(script)
            .args([own.to_string(), at[0].ip().to_string()])
            .args(at.iter().map(|address| address.port().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut party = Self { child, said };
        party.hear("listening\n");
        party
    }

    fn hear(&mut self, text: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line, text);
    }

    fn command(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.hear("done\n");
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one exchange of all moves, by party: what it was sent, and what it has sent.
fn exchanged() -> [Bytes; 3] {
    let mut moved = [Bytes::default(); 3];
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            let number = 10 * from as u64 + to as u64;
            let (there, back) = (1000 * number + 50_008, 100 * number + 7);
            for (one, other, amount) in [(from, to, there), (to, from, back)] {
                moved[other].transmit += amount;
                moved[one].receive += amount;
            }
        }
    }
    moved
}

/// Both ends of each connection are the other end's party's, that is, all that a party was sent and all that it has sent:
/// of both families, whoever has opened it, also where that was before the agent came.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn three_programs_on_one_host() {
    let lab = Lab::new();
    let hosts = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
        lab.v4(1),
    ];
    // Each party has a port of its own at each address, for a program of its own.
    let at =
        |host: u16, id: u16| SocketAddr::from((hosts[usize::from(host)], lab.port(3 * host + id)));
    let parties: String = (0..3)
        .map(|id| party(id, &[0, 1, 2].map(|host| at(host, id))))
        .collect();
    let config = parties + &lab.protocol();
    let start = |host: u16| -> Vec<Party> {
        let all = [0, 1, 2].map(|id| at(host, id));
        (0..3).map(|id| Party::start(&lab.a, id, &all)).collect()
    };
    let all = |programs: &mut [Party], command: &str| {
        for program in programs {
            program.command(command);
        }
    };
    let mut older = start(0);
    all(&mut older, "open");
    all(&mut older, "exchange");
    let agent = Agent::start(&config);
    let expect = |times: u64| {
        let moved = exchanged().map(|it| Bytes {
            transmit: it.transmit * times,
            receive: it.receive * times,
        });
        agent.expect(&[
            ("0", "test", moved[0]),
            ("1", "test", moved[1]),
            ("2", "test", moved[2]),
            ("other", "test", Bytes::default()),
            ("unknown", "test", Bytes::default()),
        ]);
    };
    all(&mut older, "exchange");
    expect(1);
    for (host, times) in [(1, 2), (2, 3)] {
        let mut programs = start(host);
        all(&mut programs, "open");
        all(&mut programs, "exchange");
        expect(times);
        all(&mut programs, "close");
        expect(times);
    }
    nobody_is_unexpected(&agent);
}

/// A party's listener.
fn listen(namespace: &Namespace, address: SocketAddr) -> TcpListener {
    namespace.enter(|| TcpListener::bind(address).unwrap())
}

/// A connection from an ephemeral port to a listener: moves so much there and so much back, and closes it.
fn talk(from: &Namespace, listener: &TcpListener, there: usize, back: usize) {
    let address = listener.local_addr().unwrap();
    let mut opened = from.enter(|| TcpStream::connect(address).unwrap());
    let mut accepted = listener.accept().unwrap().0;
    assert_ne!(accepted.peer_addr().unwrap().port(), address.port());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut data = vec![0; there];
            accepted.read_exact(&mut data).unwrap();
            accepted.write_all(&vec![2; back]).unwrap();
        });
        opened.write_all(&vec![1; there]).unwrap();
        opened.read_exact(&mut vec![0; back]).unwrap();
    });
    drop(accepted);
    assert_eq!(opened.read(&mut [0]).unwrap(), 0);
}

fn party(id: u16, endpoints: &[SocketAddr]) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(SocketAddr::to_string).collect();
    format!("[[parties]]\nid = \"{id}\"\nendpoints = {endpoints:?}\n")
}

/// Each opens a connection to each other, and all are one process. The end that opened it is that party's, whose port it
/// went to; the end that accepted it is of one of the parties at this address, but not known which: all of its bytes are
/// `other`'s.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn three_parties_in_one_process() {
    let lab = Lab::new();
    let hosts = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
        lab.v4(1),
    ];
    let at = |host: IpAddr, party: u16| SocketAddr::from((host, lab.port(party)));
    let parties: String = (0..3)
        .map(|id| party(id, &hosts.map(|host| at(host, id))))
        .collect();
    let agent = Agent::start(&(parties + &lab.protocol()));
    let (mut opened, mut accepted) = ([Bytes::default(); 3], Bytes::default());
    for host in hosts {
        let listeners: Vec<_> = (0..3).map(|id| listen(&lab.a, at(host, id))).collect();
        for (to, listener) in listeners.iter().enumerate() {
            for from in (0..3).filter(|from| *from != to) {
                // Each amount is there once.
                let there = 1000 * (10 * from + to) + 50_000;
                let back = 100 * (10 * from + to) + 7;
                talk(&lab.a, listener, there, back);
                opened[to].transmit += there as u64;
                opened[to].receive += back as u64;
                accepted.transmit += back as u64;
                accepted.receive += there as u64;
            }
        }
    }
    agent.expect(&[
        ("0", "test", opened[0]),
        ("1", "test", opened[1]),
        ("2", "test", opened[2]),
        ("other", "test", accepted),
        ("unknown", "test", Bytes::default()),
    ]);
    nobody_is_unexpected(&agent);
}

/// The same of parties on another host, while a stranger is one still.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn parties_behind_one_address_are_expected() {
    let lab = Lab::new();
    let parties: String = (0..2)
        .map(|id| party(id, &[SocketAddr::from((lab.v4(1), lab.port(id)))]))
        .collect();
    let agent = Agent::start(&(parties + &lab.protocol()));
    let listener = lab.listen(2);
    talk(&lab.a, &listener, 1234, 56);
    let accepted = Bytes {
        transmit: 56,
        receive: 1234,
    };
    agent.expect(&[
        ("other", "test", accepted),
        ("0", "test", Bytes::default()),
        ("1", "test", Bytes::default()),
        ("unknown", "test", Bytes::default()),
    ]);
    nobody_is_unexpected(&agent);

    // A's other address is no party's.
    let stranger = Lab::new();
    let listener = listen(&stranger.b, SocketAddr::from((stranger.v4(2), lab.port(3))));
    talk(&stranger.a, &listener, 10, 1);
    let accepted = Bytes {
        transmit: 1,
        receive: 10,
    };
    agent.expect(&[("unknown", "test", accepted)]);
}

fn nobody_is_unexpected(agent: &Agent) {
    let page = agent.get("/metrics");
    let counts: BTreeMap<&str, &str> = page
        .lines()
        .filter(|line| line.starts_with("mpc_unexpected_connections_total"))
        .filter_map(|line| line.rsplit_once(' '))
        .collect();
    assert!(
        !counts.is_empty() && counts.values().all(|count| *count == "0"),
        "{counts:?}"
    );
}
