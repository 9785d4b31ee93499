//! Protocols on UDP: what the programs' own calls say they sent and read, against the page. The sockets are in two
//! namespaces; A's datagrams to B are sent under `b` and received under `a`.

mod losses;
mod peers;
mod segments;

use std::{
    io::{ErrorKind, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg,
};
use socket2::SockRef;

use crate::support::{Agent, Lab, agent::Bytes, lab::Namespace, until_true};

/// What one side says that it has sent or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    bytes: u64,
    datagrams: u64,
}

impl Tally {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.datagrams += 1;
    }
}

/// The lab's parties and its ports, on UDP.
fn config(lab: &Lab) -> String {
    lab.config() + "transport = \"udp\"\n"
}

/// A socket of a namespace.
fn bind(namespace: &Namespace, address: impl Into<SocketAddr>) -> UdpSocket {
    let address = address.into();
    let socket = namespace.enter(|| UdpSocket::bind(address).unwrap());
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).unwrap();
    socket
}

/// Any port of any address of A's, of both families.
fn anywhere(lab: &Lab) -> UdpSocket {
    bind(&lab.a, (Ipv6Addr::UNSPECIFIED, 0))
}

/// B's socket on a port of the protocol.
fn listen(lab: &Lab, index: u16) -> UdpSocket {
    bind(&lab.b, (Ipv6Addr::UNSPECIFIED, lab.port(index)))
}

/// What the page says that a party's datagrams were.
fn messages(agent: &Agent, party: &str) -> [u64; 2] {
    ["transmit", "receive"].map(|direction| {
        let series = format!(
            "mpc_messages_total{{direction=\"{direction}\",party_id=\"{party}\",protocol=\"test\"}}"
        );
        let page = agent.get("/metrics");
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(&series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    })
}

/// Waits until the page says that A has sent `sent` and B has got `received`, and the reverse, and nothing else.
fn expect(agent: &Agent, to_b: [Tally; 2], to_a: [Tally; 2]) {
    let bytes = |out: Tally, came: Tally| Bytes {
        transmit: out.bytes,
        receive: came.bytes,
    };
    agent.expect(&[
        ("b", "test", bytes(to_b[0], to_a[1])),
        ("a", "test", bytes(to_a[0], to_b[1])),
        ("unknown", "test", Bytes::default()),
    ]);
    assert_eq!(
        (messages(agent, "b"), messages(agent, "a")),
        (
            [to_b[0].datagrams, to_a[1].datagrams],
            [to_a[0].datagrams, to_b[1].datagrams]
        )
    );
}

/// Reads datagrams, cut to a buffer that is as long as the longest, until there have been so many.
fn read(socket: &UdpSocket, datagrams: u64) -> Tally {
    let mut tally = Tally::default();
    let mut buffer = vec![0; 70_000];
    while tally.datagrams < datagrams {
        tally.add(socket.recv(&mut buffer).unwrap());
    }
    tally
}

/// Reads all that has come.
fn drain(socket: &UdpSocket) -> Tally {
    let mut tally = Tally::default();
    let mut buffer = vec![0; 70_000];
    socket.set_nonblocking(true).unwrap();
    loop {
        match socket.recv(&mut buffer) {
            Ok(bytes) => tally.add(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    socket.set_nonblocking(false).unwrap();
    tally
}

/// Lengths of no pattern: none, one, within and beyond what goes onto the cable in one piece, the most.
const LENGTHS: [usize; 7] = [0, 1, 700, 1_472, 1_473, 9_000, 65_000];

/// From A to B, and back to where it came from.
fn both_ways(
    agent: &Agent,
    sums: &mut [Tally; 2],
    client: &UdpSocket,
    server: &UdpSocket,
    to: SocketAddr,
    connected: bool,
) {
    if connected {
        client.connect(to).unwrap();
    }
    let mut buffer = vec![0; 70_000];
    for length in LENGTHS {
        let data = vec![1; length];
        let sent = if connected {
            client.send(&data).unwrap()
        } else {
            client.send_to(&data, to).unwrap()
        };
        let (got, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((sent, got), (length, length));
        sums[0].add(sent);
        let back = server.send_to(&data[..length / 2], from).unwrap();
        // Without asking where it comes from.
        assert_eq!(client.recv(&mut buffer).unwrap(), back);
        sums[1].add(back);
    }
    expect(agent, [sums[0]; 2], [sums[1]; 2]);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn connected_and_unconnected_in_both_families() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let server = listen(&lab, 0);
    let port = lab.port(0);
    let IpAddr::V4(v4) = lab.v4(2) else { panic!() };
    let mapped = IpAddr::from(v4.to_ipv6_mapped());
    let mut sums = [Tally::default(); 2];
    for (to, own) in [
        (lab.v4(2), IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        (lab.v6(2), IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        (mapped, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    ] {
        for connected in [false, true] {
            let client = bind(&lab.a, (own, 0));
            both_ways(
                &agent,
                &mut sums,
                &client,
                &server,
                (to, port).into(),
                connected,
            );
        }
    }
    // A server for one peer, and a client on a port of the protocol itself.
    let client = bind(&lab.a, (lab.v4(1), lab.port(1)));
    let server = bind(&lab.b, (lab.v4(2), lab.port(2)));
    server.connect(client.local_addr().unwrap()).unwrap();
    let data = [1; 333];
    sums[0].add(client.send_to(&data, server.local_addr().unwrap()).unwrap());
    assert_eq!(read(&server, 1).bytes, 333);
    sums[1].add(server.send(&data[..5]).unwrap());
    assert_eq!(read(&client, 1).bytes, 5);
    expect(&agent, [sums[0]; 2], [sums[1]; 2]);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn many_at_once() {
    const EACH: usize = 64;
    const CALLS: usize = 10;
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let (client, server) = (anywhere(&lab), listen(&lab, 0));
    let mut sums = [Tally::default(); 2];
    for (call, to) in [lab.v4(2), lab.v6(2)]
        .repeat(CALLS / 2)
        .into_iter()
        .enumerate()
    {
        let to = match to {
            IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
            v6 @ IpAddr::V6(_) => v6,
        };
        let to = SocketAddr::from((to, lab.port(0)));
        let data = vec![2; 100 + call];
        let slices: Vec<[IoSlice<'_>; 2]> = (0..EACH)
            .map(|number| [IoSlice::new(&data[..number]), IoSlice::new(&data)])
            .collect();
        let addresses = vec![Some(SockaddrStorage::from(to)); EACH];
        let mut headers = MultiHeaders::preallocate(EACH, None);
        let none: [ControlMessage<'_>; 0] = [];
        let results = sendmmsg(
            client.as_raw_fd(),
            &mut headers,
            &slices,
            addresses,
            none,
            MsgFlags::empty(),
        )
        .unwrap();
        for result in results {
            sums[0].add(result.bytes);
        }
        let mut buffers = vec![[0; 2_000]; EACH];
        let mut got = 0;
        while got < EACH {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers
                .iter_mut()
                .map(|buffer| [IoSliceMut::new(buffer)])
                .collect();
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(EACH, None);
            let results = recvmmsg(
                server.as_raw_fd(),
                &mut headers,
                slices.iter_mut(),
                MsgFlags::MSG_WAITFORONE,
                None,
            )
            .unwrap();
            for result in results {
                sums[1].add(result.bytes);
                got += 1;
            }
        }
    }
    assert_eq!(sums[0], sums[1]);
    assert_eq!(sums[0].datagrams, (EACH * CALLS) as u64);
    expect(&agent, sums, [Tally::default(); 2]);
}

/// Looking does not count, what a short buffer cuts off does, and a datagram made in pieces is one.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn peeking_cutting_and_corking() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let (client, server) = (anywhere(&lab), listen(&lab, 0));
    client.connect((lab.v6(2), lab.port(0))).unwrap();
    let mut sum = Tally::default();
    let mut buffer = [0; 4_000];
    for _ in 0..3 {
        sum.add(client.send(&[1; 3_000]).unwrap());
        assert_eq!(server.peek(&mut buffer).unwrap(), 3_000);
        assert_eq!(server.peek(&mut buffer).unwrap(), 3_000);
        assert_eq!(server.recv(&mut buffer[..10]).unwrap(), 10);
    }
    let mut pieces = 0;
    for (length, flags) in [(100, libc::MSG_MORE), (200, libc::MSG_MORE), (0, 0)] {
        // SAFETY: the buffer is longer.
        let sent = unsafe { libc::send(client.as_raw_fd(), buffer.as_ptr().cast(), length, flags) };
        pieces += usize::try_from(sent).unwrap();
    }
    sum.add(pieces);
    assert_eq!(server.recv(&mut buffer).unwrap(), 300);
    expect(&agent, [sum; 2], [Tally::default(); 2]);
}
