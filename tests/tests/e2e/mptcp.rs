//! Multipath TCP: a connection of the program's is several of TCP's, which are what is counted.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{
    Agent, Lab,
    agent::Bytes,
    diag,
    lab::{Namespace, run},
};

/// A socket of a namespace.
fn socket(namespace: &Namespace) -> Socket {
    let socket = namespace.enter(|| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)));
    socket.unwrap_or_else(|error| panic!("needs MPTCP, which this kernel has not: {error}"))
}

fn of_a(role: &str, agent: &Agent) -> Option<f64> {
    agent.series(&format!(
        "mpc_connections_opened_total{{role=\"{role}\",party_id=\"b\",protocol=\"test\"}}"
    ))
}

/// Over two addresses of A's to one of B's. The page says what the subflows have moved, and not once more for the
/// connection that they are of.
#[test]
#[ignore = "needs root, MPTCP: `cargo xtask test` runs it"]
fn each_byte_of_two_subflows_is_counted_once() {
    const UP: usize = 30_000_000;
    const DOWN: usize = 3_000_000;
    let lab = Lab::new();
    let (first, second) = (lab.v4(1), lab.v4(11));
    let (a, b) = (&lab.a.name, &lab.b.name);
    run(&format!("ip -n {a} addr add {second}/24 dev eth"));
    for name in [a, b] {
        run(&format!(
            "ip -n {name} mptcp limits set subflow 2 add_addr_accepted 2"
        ));
    }
    run(&format!(
        "ip -n {a} mptcp endpoint add {second} dev eth subflow"
    ));
    let config = lab.config().replace(
        &format!("\"{first}\""),
        &format!("\"{first}\", \"{second}\""),
    );
    let agent = Agent::start(&config);

    let address = SocketAddr::from((lab.v4(2), lab.port(0)));
    let listener = socket(&lab.b);
    listener.bind(&address.into()).unwrap();
    listener.listen(1).unwrap();
    let client = socket(&lab.a);
    client.connect(&address.into()).unwrap();
    let server = TcpStream::from(listener.accept().unwrap().0);
    let client = TcpStream::from(client);
    thread::scope(|scope| {
        for (mut from, mut to, amount) in [(&client, &server, UP), (&server, &client, DOWN)] {
            scope.spawn(move || from.write_all(&vec![7; amount]).unwrap());
            scope.spawn(move || to.read_exact(&mut vec![0; amount]).unwrap());
        }
    });
    let subflows: Vec<String> = diag::text(&lab.a).lines().map(str::to_owned).collect();
    let used = subflows.iter().filter(|line| line.contains("bytes_sent:"));
    assert!(used.count() == 2, "{subflows:#?}");

    // What one subflow was slow with, MPTCP may send over the other again: that is payload to both.
    let (at_a, at_b) = diag::standstill(&lab.a, &lab.b);
    let (up, down) = (
        at_a.sent - at_a.retransmitted,
        at_b.sent - at_b.retransmitted,
    );
    assert_eq!((at_b.received, at_a.received), (up, down));
    for (moved, wrote) in [(up, UP as u64), (down, DOWN as u64)] {
        assert!(
            (wrote..wrote * 6 / 5).contains(&moved),
            "{moved} of {wrote}"
        );
    }
    let bytes = |transmit: u64, receive: u64| Bytes { transmit, receive };
    let all = [
        ("b", "test", bytes(up, down)),
        ("a", "test", bytes(down, up)),
        ("unknown", "test", Bytes::default()),
    ];
    // No process holds a subflow itself.
    if agent.finds_all_accounts() {
        agent.expect(&all);
    }
    drop((client, server));
    agent.expect(&all);
    // Of A's to B, and each of them one of TCP's.
    assert_eq!(
        (of_a("initiator", &agent), of_a("acceptor", &agent)),
        (Some(2.0), Some(0.0))
    );
}
