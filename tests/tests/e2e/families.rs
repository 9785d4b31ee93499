//! Both families of addresses, and one that is both.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use crate::support::{Agent, Lab, agent::Bytes};

fn pass(from: &TcpStream, to: &TcpStream, amount: usize) {
    thread::scope(|scope| {
        let mut from = from;
        scope.spawn(move || from.write_all(&vec![1; amount]).unwrap());
        (&mut &*to).read_exact(&mut vec![0; amount]).unwrap();
    });
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn ipv6() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let address = std::net::SocketAddr::from((lab.v6(2), lab.port(0)));
    let listener = lab
        .b
        .enter(|| std::net::TcpListener::bind(address).unwrap());
    let a = lab.connect_to(address);
    let (b, _) = listener.accept().unwrap();
    pass(&a, &b, 123_456);
    agent.expect_moved_live(&lab, 123_456, 0);
}

/// A listener of both families: to it, an IPv4 peer is `::ffff:10.…`.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn v4_mapped() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let listener = lab
        .b
        .enter(|| std::net::TcpListener::bind(("::", lab.port(0))).unwrap());
    let mapped = match lab.v4(2) {
        std::net::IpAddr::V4(v4) => std::net::SocketAddr::from((v4.to_ipv6_mapped(), lab.port(0))),
        std::net::IpAddr::V6(_) => unreachable!(),
    };
    let plain = std::net::SocketAddr::from((lab.v4(2), lab.port(0)));
    for address in [mapped, plain] {
        let a = lab.connect_to(address);
        let (b, _) = listener.accept().unwrap();
        pass(&a, &b, 5000);
        pass(&b, &a, 70);
    }
    agent.expect_moved(10_000, 140);
    assert_eq!(agent.bytes("unknown", "test"), Bytes::default());
}
