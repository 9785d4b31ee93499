//! Several parties at one address, as their developers run them: each is known by the port that it listens on, and
//! whoever opens a connection to it comes from another one.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::support::{Agent, Lab, agent::Bytes, lab::Namespace, needs_root};

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

/// Each opens a connection to each other. The end that opened it is that party's, whose port it went to; the end that
/// accepted it is of one of the parties at this address, but not known which: all of its bytes are `other`'s.
#[test]
fn three_parties_on_one_host() {
    needs_root!();
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
fn parties_behind_one_address_are_expected() {
    needs_root!();
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
