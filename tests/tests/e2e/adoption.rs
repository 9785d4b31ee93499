//! Connections that are older than the agent: counted from its start on, whoever holds them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    process::Command,
};

use partymeter_tests::kernel_btf;
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{
    Agent, Lab,
    agent::{Bytes, Scratch},
    diag, until_true,
};

fn exchange(from: &TcpStream, to: &TcpStream, amount: usize) {
    std::thread::scope(|scope| {
        let mut from = from;
        scope.spawn(move || from.write_all(&vec![1; amount]).unwrap());
        (&mut &*to).read_exact(&mut vec![0; amount]).unwrap();
    });
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn in_the_middle() {
    let lab = Lab::new();
    let connections: Vec<_> = (0..3).map(|_| lab.connection()).collect();
    for (a, b) in &connections {
        exchange(a, b, 1_000_000);
        exchange(b, a, 50);
    }
    let agent = Agent::start(&lab.config());
    agent.expect_moved(0, 0);
    for (a, b) in &connections {
        exchange(a, b, 300_000);
        exchange(b, a, 7);
    }
    agent.expect_moved(900_000, 21);
    drop(connections);
    agent.expect_moved(900_000, 21);
}

/// Half closed before the agent came: the FIN that was counted then must not be missed now.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn half_closed_before() {
    let lab = Lab::new();
    let (a, b) = lab.connection();
    exchange(&a, &b, 1000);
    a.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!((&b).read(&mut [0; 1]).unwrap(), 0);
    let agent = Agent::start(&lab.config());
    exchange(&b, &a, 40_000);
    agent.expect_moved(0, 40_000);
    drop((a, b));
    agent.expect_moved(0, 40_000);
}

/// With bytes on their way while the agent starts, what it counts is what moves after.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn under_traffic() {
    let lab = Lab::new();
    let (a, b) = lab.connection();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (agent, sent) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| std::io::copy(&mut &b, &mut std::io::sink()).unwrap());
        let writer = scope.spawn(|| {
            let mut sent = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                sent += (&a).write(&[1; 3000]).unwrap() as u64;
            }
            a.shutdown(std::net::Shutdown::Write).unwrap();
            sent
        });
        until_true(|| diag::sums(&lab.b).received > 100_000, || "nothing moves");
        let agent = Agent::start(&lab.config());
        agent.after_rounds(2);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let sent = writer.join().unwrap();
        assert_eq!(reader.join().unwrap(), sent);
        (agent, sent)
    });
    // Both ends were adopted at their own moment: what they missed differs by what was between them then.
    agent.after_rounds(2);
    let (at_a, at_b) = (agent.bytes("b", "test"), agent.bytes("a", "test"));
    assert!(at_a.transmit > 0 && at_a.transmit < sent && at_b.receive > 0 && at_b.receive < sent);
    assert_eq!((at_a.receive, at_b.transmit), (0, 0));
    // From here on they agree again, to the byte.
    exchange(&b, &a, 12_345);
    agent.expect(&[
        (
            "b",
            "test",
            Bytes {
                transmit: at_a.transmit,
                receive: 12_345,
            },
        ),
        (
            "a",
            "test",
            Bytes {
                transmit: 12_345,
                receive: at_b.receive,
            },
        ),
    ]);
}

/// A socket that several processes share is one socket.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn shared_by_processes() {
    let lab = Lab::new();
    let (a, b) = lab.connection();
    // SAFETY: only clears close-on-exec, so that the children below hold the socket, too.
    assert_eq!(unsafe { libc::fcntl(a.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let mut children: Vec<_> = (0..3)
        .map(|_| Command::new("sleep").arg("60").spawn().unwrap())
        .collect();
    let copy = a.try_clone().unwrap();
    let agent = Agent::start(&lab.config());
    exchange(&copy, &b, 9999);
    agent.expect_moved(9999, 0);
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Raw sockets of TCP and sockets of `NETLINK_XFRM` have TCP's number, and none of its counters.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn not_what_only_has_the_number_of_tcp() {
    let lab = Lab::new();
    let (a, b) = lab.connection();
    let to_b = SocketAddr::from((lab.v4(2), lab.port(0)));
    let raw: Vec<Socket> = lab.a.enter(|| {
        let open = |_| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
        (0..8).map(open).collect()
    });
    for socket in &raw {
        // What has a peer has the state of an established connection.
        socket.connect(&to_b.into()).unwrap();
    }
    let xfrm = libc::NETLINK_XFRM.into();
    let _netlink = Socket::new(libc::AF_NETLINK.into(), Type::RAW, Some(xfrm)).unwrap();
    let agent = Agent::start(&lab.config());
    exchange(&a, &b, 1000);
    agent.expect_moved(1000, 0);
    let open = |party| {
        let labels = format!("{{party_id=\"{party}\",protocol=\"test\"}}");
        agent.series(&format!("mpc_connections{labels}"))
    };
    assert_eq!((open("a"), open("b")), (Some(1.0), Some(1.0)));
}

/// On a kernel that an iterator over socket storage could crash: what is open is found by open files, from beginning to end.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn by_open_files_where_the_other_way_is_not_safe() {
    let lab = Lab::new();
    let (old, b) = lab.connection();
    let btf = Scratch::new("btf");
    kernel_btf::with_rework(&btf.0).unwrap();
    let wrapper = kernel_btf::showing(&btf.0);
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let agent = Agent::launch(&lab.config(), &wrapper);
    agent.after_rounds(1);
    assert!(!agent.finds_all_accounts(), "{}", agent.log());
    let page = agent.get("/metrics");
    assert!(page.contains("+task_file\""), "{page}");
    exchange(&old, &b, 30_000);
    agent.expect_moved(30_000, 0);
    let (new, c) = lab.connection();
    exchange(&c, &new, 500);
    agent.expect_moved_live(&lab, 30_000, 500);
    drop((old, b, new, c));
    agent.expect_moved(30_000, 500);
}

/// An agent that starts again counts from 0, and all that moves from then on.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn by_the_next_agent() {
    let lab = Lab::new();
    let first = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    exchange(&a, &b, 1000);
    first.expect_moved(1000, 0);
    let (status, log) = first.stop();
    assert!(status.success(), "{log}");
    exchange(&a, &b, 500);
    let second = Agent::start(&lab.config());
    exchange(&a, &b, 30);
    second.expect_moved(30, 0);
}
