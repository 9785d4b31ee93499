//! Messages, rounds and waiting: programs whose rhythm is known, because these tests are them.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use crate::support::{Agent, Lab, lab::run, needs_root, until_true};

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
fn every_message_and_every_round_counts() {
    needs_root!();
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    // One connection for each direction, as some programs have it: the rhythm is the party's.
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
fn what_moves_nothing_is_no_message() {
    needs_root!();
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
fn the_one_that_is_waited_for_is_found() {
    const ROUNDS: u32 = 20;
    const SLOW: Duration = Duration::from_millis(60);
    needs_root!();
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
fn off_is_absent() {
    needs_root!();
    let lab = Lab::new();
    let agent = Agent::start(&format!("[network]\nrhythm = false\n{}", lab.config()));
    let page = agent.get("/metrics");
    assert!(page.contains("rhythm=\"off\""), "{page}");
    assert!(!page.contains("mpc_messages_total") && !page.contains("mpc_rounds_total"));
}
