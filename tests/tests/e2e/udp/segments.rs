//! Datagrams that one call sends and one packet carries: GSO on the way out, GRO on the way in, on a cable and on
//! loopback.

use std::{
    io::IoSlice,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};

use super::{Tally, bind, config, expect, listen, read};
use crate::support::{Agent, Lab, lab::run};

/// One call for many datagrams, of `size` but the last.
fn send_segments(socket: &UdpSocket, to: SocketAddr, length: usize, size: u16) -> Tally {
    let data = vec![3; length];
    let sent = sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(&data)],
        &[ControlMessage::UdpGsoSegments(&size)],
        MsgFlags::empty(),
        Some(&SockaddrStorage::from(to)),
    )
    .unwrap();
    Tally {
        bytes: sent as u64,
        datagrams: sent.div_ceil(usize::from(size)) as u64,
    }
}

/// Segments of one call, read one by one or as the kernel leaves them together.
fn segmented(client: &UdpSocket, server: &UdpSocket, to: &[SocketAddr]) -> Tally {
    let mut sum = Tally::default();
    for (length, size) in [
        (14_000, 1_400),
        (14_001, 1_400),
        (50, 7),
        (1_200, 1_200),
        (63_000, 1_000),
    ] {
        for to in to {
            let sent = send_segments(client, *to, length, size);
            sum.bytes += sent.bytes;
            sum.datagrams += sent.datagrams;
            let (mut bytes, mut buffer) = (0, vec![0; 70_000]);
            while bytes < sent.bytes {
                bytes += server.recv(&mut buffer).unwrap() as u64;
            }
        }
    }
    sum
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn segments_sent_and_received_together() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let to = [lab.v4(2), lab.v6(2)].map(|to| SocketAddr::from((to, lab.port(0))));
    let mut sum = Tally::default();
    let mut together = 0;
    let four = bind(&lab.a, (Ipv4Addr::UNSPECIFIED, 0));
    let six = bind(&lab.a, (Ipv6Addr::UNSPECIFIED, 0));
    for segments_on_the_cable in [false, true] {
        if segments_on_the_cable {
            run(&format!("ip -n {} link set eth gso_max_segs 1", lab.a.name));
        }
        for gro in [false, true] {
            let server = listen(&lab, 0);
            setsockopt(&server, sockopt::UdpGroSegment, &gro).unwrap();
            for (client, to) in [(&four, to[0]), (&six, to[1])] {
                let sent = segmented(client, &server, &[to]);
                sum.bytes += sent.bytes;
                sum.datagrams += sent.datagrams;
            }
            // One more, to see whether they came together.
            let sent = send_segments(&four, to[0], 5_000, 1_000);
            sum.bytes += sent.bytes;
            sum.datagrams += sent.datagrams;
            let mut got = [0; 6_000];
            let first = server.recv(&mut got).unwrap();
            together += usize::from(first == 5_000);
            let mut left = 5_000 - first;
            while left > 0 {
                left -= server.recv(&mut got).unwrap();
            }
            expect(&agent, [sum; 2], [Tally::default(); 2]);
        }
    }
    assert!(
        together > 0,
        "never was more than one datagram read at once"
    );
}

/// Parties on one host, known by their ports; segments on loopback stay together.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn parties_on_one_host() {
    let lab = Lab::new();
    let (a, b) = (lab.port(0), lab.port(1));
    let party = |id: &str, port: u16| {
        format!(
            "[[parties]]\nid = \"{id}\"\nendpoints = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\n"
        )
    };
    let agent =
        Agent::start(&(party("a", a) + &party("b", b) + &lab.protocol() + "transport = \"udp\"\n"));
    let mut sums = [Tally::default(); 2];
    for host in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        for gro in [false, true] {
            let (at_a, at_b) = (bind(&lab.a, (host, a)), bind(&lab.a, (host, b)));
            setsockopt(&at_b, sockopt::UdpGroSegment, &gro).unwrap();
            let sent = segmented(&at_a, &at_b, &[(host, b).into()]);
            sums[0].bytes += sent.bytes;
            sums[0].datagrams += sent.datagrams;
            sums[1].add(at_b.send_to(&[1; 77], (host, a)).unwrap());
            assert_eq!(read(&at_a, 1).bytes, 77);
        }
    }
    expect(&agent, [sums[0]; 2], [sums[1]; 2]);
}
