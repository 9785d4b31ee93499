//! Whose a byte is.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::support::{Agent, Lab, agent::Bytes, lab::run, received, sent};

/// Moves so many bytes from one end to the other of a new connection, and closes it.
fn send(listener: &TcpListener, a: TcpStream, amount: u64) {
    let (mut b, _) = listener.accept().unwrap();
    let sender = std::thread::spawn(move || {
        (&a).write_all(&vec![1; usize::try_from(amount).unwrap()])
            .unwrap();
    });
    let mut data = Vec::new();
    b.read_to_end(&mut data).unwrap();
    sender.join().unwrap();
    assert_eq!(data.len() as u64, amount);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn exact_endpoints_go_over_prefixes_and_tell_parties_on_one_address_apart() {
    let lab = Lab::new();
    let (b, first, second) = (lab.v4(2), lab.port(0), lab.port(1));
    let config = format!(
        "[[parties]]\nid = \"first\"\nendpoints = [\"{b}:{first}\"]\n\
         [[parties]]\nid = \"second\"\nendpoints = [\"{b}:{second}\"]\n\
         [[parties]]\nid = \"a\"\nendpoints = [\"{}:{first}\"]\n{}",
        lab.v4(1),
        lab.protocol()
    );
    let agent = Agent::start(&config);
    let listeners = [lab.listen(0), lab.listen(1), lab.listen(2)];
    for (listener, amount) in listeners.iter().zip([10, 200, 3000]) {
        send(
            listener,
            lab.connect_to(listener.local_addr().unwrap()),
            amount,
        );
    }
    agent.expect(&[
        ("first", "test", sent(10)),
        ("second", "test", sent(200)),
        // A is known by a port that it listens on; it came from another, and to a port of the protocol.
        ("a", "test", received(3210)),
        ("unknown", "test", Bytes::default()),
    ]);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn prefixes_of_both_families() {
    let lab = Lab::new();
    let net = |address: std::net::IpAddr, bits| ipnet_of(address, bits);
    let config = format!(
        "[[parties]]\nid = \"v4\"\nendpoints = [\"{}\"]\n[[parties]]\nid = \"v6\"\nendpoints = [\"{}\"]\n{}",
        net(lab.v4(0), 24),
        net(lab.v6(0), 64),
        lab.protocol()
    );
    let agent = Agent::start(&config);
    let v4 = lab.listen(0);
    send(&v4, lab.connect_to(v4.local_addr().unwrap()), 44);
    let address = SocketAddr::from((lab.v6(2), lab.port(1)));
    let v6 = lab.b.enter(|| TcpListener::bind(address).unwrap());
    send(&v6, lab.connect_to(address), 666);
    agent.expect(&[
        (
            "v4",
            "test",
            Bytes {
                transmit: 44,
                receive: 44,
            },
        ),
        (
            "v6",
            "test",
            Bytes {
                transmit: 666,
                receive: 666,
            },
        ),
    ]);
}

fn ipnet_of(address: std::net::IpAddr, bits: u8) -> String {
    match address {
        std::net::IpAddr::V4(v4) => format!("{v4}/{bits}"),
        std::net::IpAddr::V6(v6) => format!("{}/{bits}", v6.to_string().trim_end_matches('0')),
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn strangers_on_a_protocols_port_are_unknown_and_others_are_nobody() {
    let lab = Lab::new();
    let config = format!(
        "[[parties]]\nid = \"b\"\nendpoints = [\"{}\"]\n{}",
        lab.v4(2),
        lab.protocol()
    );
    let agent = Agent::start(&config);
    let listener = lab.listen(0);
    send(
        &listener,
        lab.connect_to(listener.local_addr().unwrap()),
        51,
    );
    // Not on the protocol's ports: with a party it is other, with a stranger nothing.
    let elsewhere = lab.b.enter(|| TcpListener::bind((lab.v4(2), 9)).unwrap());
    send(
        &elsewhere,
        lab.connect_to(elsewhere.local_addr().unwrap()),
        7000,
    );
    agent.expect(&[
        ("b", "test", sent(51)),
        ("b", "other", sent(7000)),
        ("unknown", "test", received(51)),
        ("unknown", "other", Bytes::default()),
    ]);
}

/// Without parties each address is one, up to the limit; also at the accepting end, and not oneself.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn automatic_parties() {
    let lab = Lab::new();
    for host in [11, 12, 13] {
        run(&format!(
            "ip -n {} addr add {}/24 dev eth",
            lab.b.name,
            lab.v4(host)
        ));
    }
    let agent = Agent::start(&format!(
        "[network]\nmax_auto_parties = 3\n{}",
        lab.protocol()
    ));
    let listener = lab
        .b
        .enter(|| TcpListener::bind(("0.0.0.0", lab.port(0))).unwrap());
    for (host, amount) in [(11, 1), (12, 20), (13, 300), (11, 4000)] {
        send(
            &listener,
            lab.connect_to((lab.v4(host), lab.port(0)).into()),
            amount,
        );
    }
    // To itself, over loopback and over its own address.
    for address in ["127.0.0.1".parse().unwrap(), lab.v4(2)] {
        let own = SocketAddr::from((address, lab.port(0)));
        send(
            &listener,
            lab.b.enter(|| TcpStream::connect(own).unwrap()),
            999,
        );
    }
    // A was seen second, as the address that B had accepted from.
    let (a, first, second) = (
        lab.v4(1).to_string(),
        lab.v4(11).to_string(),
        lab.v4(12).to_string(),
    );
    agent.expect(&[
        (&first, "test", sent(4001)),
        (&a, "test", received(4321)),
        (&second, "test", sent(20)),
        ("other", "test", sent(300)),
        (&lab.v4(13).to_string(), "test", Bytes::default()),
        ("127.0.0.1", "test", Bytes::default()),
        (&lab.v4(2).to_string(), "test", Bytes::default()),
    ]);
    assert_eq!(
        agent.series("partymeter_bpf_dropped_total{reason=\"auto_parties\"}"),
        Some(1.0)
    );
    assert_eq!(
        agent.series("partymeter_bpf_map_entries{map=\"auto_parties\"}"),
        Some(3.0)
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn two_agents_count_the_same() {
    let lab = Lab::new();
    let agents = [Agent::start(&lab.config()), Agent::start(&lab.config())];
    let listener = lab.listen(0);
    for amount in [1, 1000, 1_000_000] {
        send(
            &listener,
            lab.connect_to(listener.local_addr().unwrap()),
            amount,
        );
    }
    for agent in &agents {
        agent.expect_moved(1_001_001, 0);
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn several_namespaces_at_once() {
    let labs = [Lab::new(), Lab::new(), Lab::new()];
    let parties: Vec<String> = labs
        .iter()
        .enumerate()
        .map(|(index, lab)| {
            format!(
                "[[parties]]\nid = \"{index}\"\nendpoints = [\"{}\"]\n",
                lab.v4(2)
            )
        })
        .collect();
    let agent = Agent::start(&(parties.concat() + &labs[0].protocol()));
    for (lab, amount) in labs.iter().zip([5, 60, 700]) {
        let listener = lab
            .b
            .enter(|| TcpListener::bind((lab.v4(2), labs[0].port(0))).unwrap());
        send(
            &listener,
            lab.connect_to(listener.local_addr().unwrap()),
            amount,
        );
    }
    agent.expect(&[
        ("0", "test", sent(5)),
        ("1", "test", sent(60)),
        ("2", "test", sent(700)),
    ]);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_hundred_parties_each_their_own() {
    let lab = Lab::new();
    let hosts = 100..200_u8;
    let mut config = lab.protocol();
    for host in hosts.clone() {
        run(&format!(
            "ip -n {} addr add {}/24 dev eth",
            lab.b.name,
            lab.v4(host)
        ));
        writeln!(
            config,
            "[[parties]]\nid = \"{host}\"\nendpoints = [\"{}\"]",
            lab.v4(host)
        )
        .unwrap();
    }
    let agent = Agent::start(&config);
    let listener = lab
        .b
        .enter(|| TcpListener::bind(("0.0.0.0", lab.port(0))).unwrap());
    for host in hosts.clone() {
        send(
            &listener,
            lab.connect_to((lab.v4(host), lab.port(0)).into()),
            u64::from(host),
        );
    }
    let names: Vec<String> = hosts.clone().map(|host| host.to_string()).collect();
    let pairs: Vec<_> = names
        .iter()
        .zip(hosts)
        .map(|(name, host)| (name.as_str(), "test", sent(u64::from(host))))
        .collect();
    agent.expect(&pairs);
}
