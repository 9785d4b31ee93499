//! Every way for a connection to begin and to end.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::{Agent, Lab, agent::Bytes, diag};

fn read_to_end(mut socket: &TcpStream) -> u64 {
    let mut data = Vec::new();
    // A reset ends it as well.
    let _ = socket.read_to_end(&mut data);
    data.len() as u64
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn half_close() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 11]).unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&b), 11);
    agent.expect_moved(11, 0);
    let sender = std::thread::spawn(move || {
        (&b).write_all(&vec![2; 100_000]).unwrap();
        b
    });
    (&a).read_exact(&mut vec![0; 100_000]).unwrap();
    agent.expect_moved(11, 100_000);
    drop((a, sender.join().unwrap()));
    agent.expect_moved(11, 100_000);
}

/// The kernel has received what the program never read; closing resets the connection.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn close_with_unread_data() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 5000]).unwrap();
    diag::until_received(&lab.b, 5000);
    drop(b);
    diag::until_none(&lab.a);
    drop(a);
    agent.expect_moved(5000, 0);
}

/// A reset with data in flight: what was sent was sent, and what had arrived had arrived.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn reset_with_data_in_flight() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    a.set_nonblocking(true).unwrap();
    let mut written = 0;
    while let Ok(bytes) = (&a).write(&vec![1; 60_000]) {
        written += bytes as u64;
    }
    // B's window is full; what A's kernel holds back has not been handed to the network.
    let (at_a, at_b) = diag::standstill(&lab.a, &lab.b);
    let sent = at_a.sent - at_a.retransmitted;
    assert!(sent < written, "{sent} of {written} sent");
    SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
    drop(b);
    diag::until_none(&lab.a);
    drop(a);
    agent.expect(&[
        (
            "b",
            "test",
            Bytes {
                transmit: sent,
                receive: 0,
            },
        ),
        (
            "a",
            "test",
            Bytes {
                transmit: 0,
                receive: at_b.received,
            },
        ),
    ]);
}

/// `connect` to AF_UNSPEC zeroes a socket's counters; it is used again and again.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn disconnect_and_reuse() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap().into();
    let socket = lab
        .a
        .enter(|| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
    let mut total = 0;
    for round in 1..=20_u64 {
        socket.connect(&address).unwrap();
        let (b, _) = listener.accept().unwrap();
        let data = vec![1; 777 * usize::try_from(round).unwrap()];
        socket.send(&data).unwrap();
        (&b).read_exact(&mut vec![0; data.len()]).unwrap();
        total += data.len() as u64;
        let nowhere = libc::sockaddr {
            sa_family: 0,
            sa_data: [0; 14],
        };
        // SAFETY: an address of 16 bytes, family AF_UNSPEC.
        let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, 16) };
        assert_eq!(result, 0);
        assert_eq!(read_to_end(&b), 0);
    }
    agent.expect_moved(total, 0);
}

/// TCP Fast Open: the SYN carries payload, on both sides before the connection is established.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn fast_open() {
    const TCP_FASTOPEN: libc::c_int = 23;
    let lab = Lab::new();
    for namespace in [&lab.a, &lab.b] {
        namespace.run("sysctl -qw net.ipv4.tcp_fastopen=3");
    }
    let agent = Agent::start(&lab.config());
    let listener = lab.listen(0);
    let queue: libc::c_int = 16;
    // SAFETY: an int, as the option wants.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_FASTOPEN,
            (&raw const queue).cast(),
            4,
        )
    };
    assert_eq!(set, 0);
    let rounds = 10;
    for _ in 0..rounds {
        let socket = lab
            .a
            .enter(|| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
        let address = listener.local_addr().unwrap().into();
        assert_eq!(
            socket
                .send_to_with_flags(&[1; 500], &address, libc::MSG_FASTOPEN)
                .unwrap(),
            500
        );
        let (b, _) = listener.accept().unwrap();
        (&b).read_exact(&mut [0; 500]).unwrap();
        (&b).write_all(&[2; 10]).unwrap();
        let a = TcpStream::from(socket);
        (&a).read_exact(&mut [0; 10]).unwrap();
    }
    let accepted = std::process::Command::new("ip")
        .args([
            "netns",
            "exec",
            &lab.b.name,
            "nstat",
            "-asz",
            "TcpExtTCPFastOpenPassive",
        ])
        .output()
        .unwrap();
    let accepted = String::from_utf8(accepted.stdout).unwrap();
    let count = accepted
        .split_whitespace()
        .skip_while(|word| *word != "TcpExtTCPFastOpenPassive")
        .nth(1);
    assert!(
        count.unwrap().parse::<u32>().unwrap() >= rounds - 1,
        "no SYN carried data: {accepted}"
    );
    agent.expect_moved(500 * u64::from(rounds), 10 * u64::from(rounds));
}

/// A program that is killed in the middle: the kernel's last figures count, not the program's.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn killed_in_the_middle() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", &lab.a.name, "bash", "-c"])
        .arg(format!(
            "exec 3<>/dev/tcp/{}/{}; exec cat /dev/zero >&3",
            address.ip(),
            address.port()
        ))
        .spawn()
        .unwrap();
    let (b, _) = listener.accept().unwrap();
    (&b).read_exact(&mut vec![0; 3_000_000]).unwrap();
    let (at_a, at_b) = diag::standstill(&lab.a, &lab.b);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(b);
    agent.expect(&[
        (
            "b",
            "test",
            Bytes {
                transmit: at_a.sent - at_a.retransmitted,
                receive: 0,
            },
        ),
        (
            "a",
            "test",
            Bytes {
                transmit: 0,
                receive: at_b.received,
            },
        ),
    ]);
}

/// A socket that connects to itself (both SYNs cross) is one socket, and a party only because it is named.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn connection_to_oneself() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    lab.a.enter(|| {
        let own = SocketAddr::from((lab.v4(1), lab.port(5))).into();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&own).unwrap();
        socket.connect(&own).unwrap();
        let socket = TcpStream::from(socket);
        (&socket).write_all(&[1; 100]).unwrap();
        (&socket).read_exact(&mut [0; 100]).unwrap();
    });
    let itself = Bytes {
        transmit: 100,
        receive: 100,
    };
    agent.expect(&[("a", "test", itself), ("b", "test", Bytes::default())]);
}

/// A listener that never accepts: the connections are established, and what they receive is received.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn never_accepted() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let listener: TcpListener = lab.listen(0);
    let a = lab.connect_to(listener.local_addr().unwrap());
    (&a).write_all(&[1; 4000]).unwrap();
    if agent.finds_all_accounts() {
        agent.expect_moved(4000, 0);
    }
    drop(listener);
    agent.expect_moved(4000, 0);
}
