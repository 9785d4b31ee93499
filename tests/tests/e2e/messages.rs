//! Messages, rounds and waiting: programs whose messages are known, because these tests are the programs.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use crate::support::{Agent, Lab, lab::run, until_true};

/// Messages of a party.
pub(crate) fn messages(agent: &Agent, direction: &str, party: &str) -> Option<f64> {
    let labels = format!("direction=\"{direction}\",party_id=\"{party}\",protocol=\"test\"");
    agent.series(&format!("mpc_messages_total{{{labels}}}"))
}

/// A figure of a party's.
pub(crate) fn of(agent: &Agent, name: &str, party: &str, protocol: &str) -> Option<f64> {
    agent.series(&format!(
        "{name}{{party_id=\"{party}\",protocol=\"{protocol}\"}}"
    ))
}

/// Waits until a figure is as it must be.
pub(crate) fn expect(agent: &Agent, wanted: f64, figure: impl Fn(&Agent) -> Option<f64>) {
    until_true(
        || figure(agent) == Some(wanted),
        || format!("{:?} is not {wanted}", figure(agent)),
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn every_message_and_every_round_counts() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    // One connection for each direction, as some programs have it: rounds are the party's.
    let (up, down) = (lab.connection(), lab.connection());
    for _ in 0..100 {
        for part in [10, 20, 30] {
            (&up.0).write_all(&vec![1; part]).unwrap();
        }
        (&up.1).read_exact(&mut [0; 60]).unwrap();
        (&down.1).write_all(&[2; 8]).unwrap();
        (&down.0).read_exact(&mut [0; 8]).unwrap();
    }
    expect(&agent, 300.0, |it| messages(it, "transmit", "b"));
    expect(&agent, 100.0, |it| messages(it, "receive", "b"));
    expect(&agent, 100.0, |it| of(it, "mpc_rounds_total", "b", "test"));
    expect(&agent, 100.0, |it| messages(it, "transmit", "a"));
    // B answers: it has sent before all but the first that it receives.
    expect(&agent, 99.0, |it| of(it, "mpc_rounds_total", "a", "test"));
    expect(&agent, 100.0, |it| {
        of(it, "mpc_peer_wait_seconds_count", "b", "test")
    });
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_moves_nothing_is_no_message() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 5]).unwrap();
    while b.peek(&mut [0; 5]).unwrap() < 5 {}
    (&b).read_exact(&mut [0; 5]).unwrap();
    b.set_nonblocking(true).unwrap();
    for _ in 0..10 {
        let nothing = (&b).read(&mut [0; 5]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    }
    drop(a);
    until_true(
        || (&b).read(&mut [0; 5]).is_ok_and(|read| read == 0),
        || "the connection is open",
    );
    expect(&agent, 1.0, |it| messages(it, "transmit", "b"));
    expect(&agent, 1.0, |it| messages(it, "receive", "a"));
    agent.after_rounds(2);
    assert_eq!(messages(&agent, "receive", "a"), Some(1.0));
    assert_eq!(of(&agent, "mpc_rounds_total", "a", "test"), Some(0.0));
    assert_eq!(of(&agent, "mpc_peer_wait_seconds_count", "a", "test"), None);
}

/// Three parties; A sends to both others at once and needs both answers, one of which takes its time.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_one_that_is_waited_for_is_found() {
    const ROUNDS: u32 = 20;
    const SLOW: Duration = Duration::from_millis(60);
    let lab = Lab::new();
    run(&format!(
        "ip -n {} addr add {}/24 dev eth",
        lab.b.name,
        lab.v4(3)
    ));
    let party = |id: &str, host| {
        format!(
            "[[parties]]\nid = \"{id}\"\nendpoints = [\"{}\"]\n",
            lab.v4(host)
        )
    };
    let agent = Agent::start(&(party("quick", 2) + &party("slow", 3) + &lab.protocol()));
    let address = |host| SocketAddr::from((lab.v4(host), lab.port(0)));
    let listeners = [2, 3].map(|host| lab.b.enter(|| TcpListener::bind(address(host)).unwrap()));
    let peers = [2, 3].map(|host| lab.connect_to(address(host)));
    let took = thread::scope(|scope| {
        for (listener, pause) in listeners.iter().zip([Duration::ZERO, SLOW]) {
            scope.spawn(move || {
                let mut peer = listener.accept().unwrap().0;
                for _ in 0..ROUNDS {
                    peer.read_exact(&mut [0; 100]).unwrap();
                    // The time that it works, which is what is measured.
                    sleep(pause);
                    peer.write_all(&[1; 100]).unwrap();
                }
            });
        }
        let began = Instant::now();
        for _ in 0..ROUNDS {
            for mut peer in &peers {
                peer.write_all(&[1; 100]).unwrap();
            }
            for mut peer in &peers {
                peer.read_exact(&mut [0; 100]).unwrap();
            }
        }
        began.elapsed().as_secs_f64()
    });
    for party in ["quick", "slow"] {
        expect(&agent, f64::from(ROUNDS), |it| {
            of(it, "mpc_rounds_total", party, "test")
        });
    }
    let waited = |party| of(&agent, "mpc_peer_wait_seconds_sum", party, "test").unwrap();
    let least = SLOW.as_secs_f64() * f64::from(ROUNDS);
    assert!(
        (least..=took).contains(&waited("slow")),
        "{} of {took} s",
        waited("slow")
    );
    assert!(
        waited("quick") < waited("slow") / 4.0,
        "{} s",
        waited("quick")
    );
    let under = agent
        .series("mpc_peer_wait_seconds_bucket{le=\"0.05\",party_id=\"slow\",protocol=\"test\"}");
    assert_eq!(under, Some(0.0));
    drop::<[TcpStream; 2]>(peers);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn off_is_absent() {
    let lab = Lab::new();
    let agent = Agent::start(&format!("[network]\nmessages = false\n{}", lab.config()));
    let page = agent.get("/metrics");
    assert!(page.contains("messages=\"off\""), "{page}");
    assert!(!page.contains("mpc_messages_total") && !page.contains("mpc_rounds_total"));
}

/// Answers that lie in the receive buffer when both sides have said that they are done: the connection is closed, its
/// port given back, and the program reads what it was sent all the same.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_is_read_after_the_end_is_a_message_all_the_same() {
    const ANSWERS: usize = 20;
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    a.set_nodelay(true).unwrap();
    b.set_nodelay(true).unwrap();
    (&a).write_all(&[1; 10]).unwrap();
    (&b).read_exact(&mut [0; 10]).unwrap();
    for _ in 0..ANSWERS {
        (&b).write_all(&[2; 100]).unwrap();
    }
    // A is done first: with the FIN of B its end is over.
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&b).read(&mut [0; 1]).unwrap(), 0);
    drop(b);
    // TCP_CLOSE is 7: A's end is over.
    let state = || {
        let mut info = [0_u8; 8];
        let mut length: libc::socklen_t = 8;
        // SAFETY: a socket that is open, and a place as long as said.
        let result = unsafe {
            libc::getsockopt(
                std::os::fd::AsRawFd::as_raw_fd(&a),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        assert_eq!(result, 0);
        info[0]
    };
    until_true(|| state() == 7, || format!("in state {}", state()));
    expect(&agent, 0.0, |it| {
        it.series("mpc_connections{party_id=\"b\",protocol=\"test\"}")
    });
    for _ in 0..ANSWERS {
        (&a).read_exact(&mut [0; 100]).unwrap();
    }
    expect(&agent, 20.0, |it| messages(it, "receive", "b"));
    expect(&agent, 1.0, |it| messages(it, "receive", "a"));
    // Whoever holds it holds no connection.
    expect(&agent, 0.0, |it| {
        it.series("mpc_active_sessions{protocol=\"test\"}")
    });
    drop(a);
}

/// A socket that is used again (`connect` to `AF_UNSPEC`, then elsewhere): each of its connections counts by itself.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_socket_that_is_used_again_begins_anew() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let listener = lab.listen(0);
    let script = "import ctypes, socket, struct, sys\n\
        at = (sys.argv[1], int(sys.argv[2]))\n\
        s = socket.socket()\n\
        for _ in range(3):\n\
        \x20   s.connect(at); s.sendall(b'x' * 50); s.recv(7)\n\
        \x20   assert ctypes.CDLL(None).connect(s.fileno(), struct.pack('H14x', 0), 16) == 0\n";
    let (address, port) = (lab.v4(2).to_string(), lab.port(0).to_string());
    let mut program = std::process::Command::new("ip")
        .args(["netns", "exec", &lab.a.name, "python3", "-c", script])
        .args([&address, &port])
        .spawn()
        .unwrap();
    for _ in 0..3 {
        let (mut b, _) = listener.accept().unwrap();
        b.read_exact(&mut [0; 50]).unwrap();
        b.write_all(&[1; 7]).unwrap();
    }
    assert!(program.wait().unwrap().success());
    agent.expect_moved(150, 21);
    expect(&agent, 3.0, |it| messages(it, "transmit", "b"));
    expect(&agent, 3.0, |it| messages(it, "receive", "b"));
    expect(&agent, 3.0, |it| {
        it.series(
            "mpc_connections_opened_total{role=\"initiator\",party_id=\"b\",protocol=\"test\"}",
        )
    });
}
