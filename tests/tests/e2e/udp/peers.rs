//! Whose datagrams are: parties, strangers, protocols that come and go; and what is not UDP.

use std::{
    fs,
    io::{Read as _, Write as _},
    mem::MaybeUninit,
    net::{Ipv4Addr, Ipv6Addr},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Tally, anywhere, bind, config, expect, listen, read};
use crate::support::{Agent, Lab, agent::Bytes};

/// A raw socket gets a copy of each datagram, and TCP may have the same port.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn neither_copies_nor_connections_are_datagrams() {
    let lab = Lab::new();
    let tcp = format!("[[protocols]]\nname = \"tcp\"\nports = [{}]\n", lab.port(0));
    let agent = Agent::start(&(config(&lab) + &tcp));
    let raw = lab
        .b
        .enter(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap());
    let (client, server) = (bind(&lab.a, (Ipv4Addr::UNSPECIFIED, 0)), listen(&lab, 0));
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 1_000]).unwrap();
    (&b).read_exact(&mut [0; 1_000]).unwrap();
    let mut sum = Tally::default();
    for _ in 0..10 {
        sum.add(client.send_to(&[1; 100], (lab.v4(2), lab.port(0))).unwrap());
    }
    assert_eq!(read(&server, 10), sum);
    let mut copy = [MaybeUninit::uninit(); 200];
    assert_eq!(raw.recv(&mut copy).unwrap(), 20 + 8 + 100);
    expect(&agent, [sum; 2], [Tally::default(); 2]);
    agent.expect(&[(
        "b",
        "tcp",
        Bytes {
            transmit: 1_000,
            receive: 0,
        },
    )]);
    let page = agent.get("/metrics");
    for series in [
        "mpc_connections{",
        "mpc_connections_opened_total{role=\"initiator\",",
        "network_segments_total{direction=\"receive\",",
        "mpc_active_sessions{",
    ] {
        let of = |protocol: &str| {
            let label = format!("protocol=\"{protocol}\"}}");
            page.lines()
                .filter(|line| line.starts_with(series) && line.contains(&label))
                .count()
        };
        assert!(of("tcp") > 0, "no {series} of TCP");
        assert_eq!(of("test"), 0, "{series} of UDP");
    }
}

/// Whoever is no party is unknown, and told once for each address and port.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn strangers_are_unknown() {
    let lab = Lab::new();
    let party = format!("[[parties]]\nid = \"a\"\nendpoints = [\"{}\"]\n", lab.v4(1));
    let agent = Agent::start(&(party + &lab.protocol() + "transport = \"udp\"\n"));
    let server = listen(&lab, 0);
    let known = bind(&lab.a, (Ipv4Addr::UNSPECIFIED, 0));
    known.send_to(&[1; 10], (lab.v4(2), lab.port(0))).unwrap();
    read(&server, 1);
    let stranger = bind(&lab.a, (Ipv6Addr::UNSPECIFIED, 0));
    let mut buffer = [0; 100];
    for _ in 0..3 {
        stranger
            .send_to(&[1; 100], (lab.v6(2), lab.port(0)))
            .unwrap();
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&[1; 3], from).unwrap();
    }
    agent.expect(&[
        (
            "a",
            "test",
            Bytes {
                transmit: 0,
                receive: 10,
            },
        ),
        (
            "unknown",
            "test",
            Bytes {
                transmit: 9,
                receive: 300,
            },
        ),
    ]);
    let unexpected = |role: &str| {
        agent.series(&format!(
            "mpc_unexpected_connections_total{{protocol=\"test\",role=\"{role}\"}}"
        ))
    };
    assert_eq!(
        (unexpected("acceptor"), unexpected("initiator")),
        (Some(1.0), Some(0.0))
    );
    agent.wait_for(&format!(
        "the address is not configured address={}",
        lab.v6(1)
    ));
}

/// Without parties, each address on such a port is one.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn automatic_parties() {
    let lab = Lab::new();
    let agent = Agent::start(&(lab.protocol() + "transport = \"udp\"\n"));
    let server = listen(&lab, 0);
    let client = bind(&lab.a, (Ipv4Addr::UNSPECIFIED, 0));
    client.send_to(&[1; 10], (lab.v4(2), lab.port(0))).unwrap();
    let (_, from) = server.recv_from(&mut [0; 100]).unwrap();
    server.send_to(&[1; 7], from).unwrap();
    read(&client, 1);
    let (at_a, at_b) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    agent.expect(&[
        (
            &at_b,
            "test",
            Bytes {
                transmit: 10,
                receive: 7,
            },
        ),
        (
            &at_a,
            "test",
            Bytes {
                transmit: 7,
                receive: 10,
            },
        ),
    ]);
}

/// The hooks are attached at the start or not at all; parties and ports change as those of TCP do.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn reloading() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let replace = |agent: &Agent, config: &str| {
        fs::write(agent.config(), agent.whole(config)).unwrap();
        agent.signal(libc::SIGHUP);
    };
    let second = format!(
        "[[protocols]]\nname = \"second\"\ntransport = \"udp\"\nports = [{}]\n",
        lab.port(0)
    );
    replace(&agent, &(lab.config() + &second));
    agent.wait_for(&format!(
        "second on UDP {} is not counted, for the agent started without a protocol on UDP; help: restart the agent",
        lab.port(0)
    ));
    let page = agent.get("/metrics");
    assert!(
        page.contains("udp=\"off\"") && !page.contains("protocol=\"second\""),
        "{page}"
    );
    drop(agent);

    let agent = Agent::start(&config(&lab));
    let (client, server) = (anywhere(&lab), listen(&lab, 0));
    let to = (lab.v6(2), lab.port(0));
    client.send_to(&[1; 100], to).unwrap();
    read(&server, 1);
    let sent = |transmit: u64| Bytes {
        transmit,
        receive: 0,
    };
    agent.expect(&[("b", "test", sent(100))]);
    let parties = lab.config().replace(&lab.protocol(), "");
    replace(&agent, &(parties + &second));
    agent.wait_for("protocol second is new, on UDP");
    agent.after_rounds(2);
    client.send_to(&[1; 20], to).unwrap();
    read(&server, 1);
    agent.expect(&[("b", "test", sent(100)), ("b", "second", sent(20))]);
}

/// Without the privilege for it, UDP is absent and says so, and TCP is counted.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn without_the_privilege_it_is_absent() {
    let lab = Lab::new();
    let tcp = format!("[[protocols]]\nname = \"tcp\"\nports = [{}]\n", lab.port(0));
    let wrapper = [
        "setpriv",
        "--inh-caps=-all",
        "--bounding-set=-all,+bpf,+perfmon",
    ];
    let agent = Agent::launch(&(config(&lab) + &tcp), &wrapper);
    let ready = agent.get("/-/ready");
    assert!(
        ready.contains("200 OK")
            && ready.contains("protocols on UDP are not counted (the kernel refused to"),
        "{ready}\n{}",
        agent.log()
    );
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 1_000]).unwrap();
    (&b).read_exact(&mut [0; 1_000]).unwrap();
    agent.expect(&[(
        "b",
        "tcp",
        Bytes {
            transmit: 1_000,
            receive: 0,
        },
    )]);
    let page = agent.get("/metrics");
    assert!(
        page.contains("udp=\"off\"") && !page.contains("protocol=\"test\""),
        "{page}"
    );
}
