//! Everything at once: connections that end in every way, while the agent is killed, stopped, paused and given other
//! configurations at random. Nothing may be lost, and nothing counted twice.
//!
//! Ten seconds of it are a test; `cargo xtask chaos` runs it for three minutes.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{FileSystem, Truth, bytes};
use crate::support::{
    Agent, Lab,
    agent::{Bytes, Scratch},
    random::Random,
    until_true,
};

/// How long, where the test is not asked for more by `PARTYMETER_CHAOS_SECONDS`.
const SECONDS: u64 = 10;
/// Names that A and B have in turn.
const NAMES: u64 = 3;

fn duration() -> Duration {
    let seconds = std::env::var("PARTYMETER_CHAOS_SECONDS");
    Duration::from_secs(seconds.map_or(SECONDS, |seconds| seconds.parse().unwrap()))
}

/// Parties of which one is at A and one at B; the others are nowhere, so that their series stay on the page.
fn config(lab: &Lab, files: &FileSystem, at_a: u64, at_b: u64) -> String {
    let party = |side: &str, number: u64, address: String| {
        format!("[[parties]]\nid = \"{side}{number}\"\nendpoints = [\"{address}\"]\n")
    };
    let side = |side: &str, chosen: u64, host: u8, nowhere: u64| -> String {
        let parties = (0..NAMES).map(|number| {
            let address = if number == chosen {
                lab.v4(host).to_string()
            } else {
                format!("192.0.2.{}", nowhere + number)
            };
            party(side, number, address)
        });
        parties.collect()
    };
    side("a", at_a, 1, 10) + &side("b", at_b, 2, 20) + &lab.protocol() + &files.network()
}

/// Waits until the kernel has that many bytes for the program.
fn until_readable(socket: &TcpStream, bytes: usize) {
    let readable = || {
        let mut count = 0;
        // SAFETY: FIONREAD writes one int.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) };
        assert_eq!(result, 0);
        usize::try_from(count).unwrap()
    };
    until_true(|| readable() == bytes, || format!("{} bytes", readable()));
}

/// A connection, from its beginning to one of its ends.
fn live((a, b): (TcpStream, TcpStream), truth: &Truth, random: &mut Random) {
    let size = |random: &mut Random| usize::try_from(random.below(3000)).unwrap() + 1;
    truth.connections.fetch_add(1, Relaxed);
    truth.exchange(&a, &b, [size(random), size(random)]);
    let reset = |socket: &TcpStream| {
        SockRef::from(socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    };
    match random.below(7) {
        0 => drop((a, b)),
        1 => drop((b, a)),
        2 => {
            reset(&a);
            drop((a, b));
        }
        3 => {
            reset(&b);
            drop((b, a));
        }
        // With data that its program has not read.
        4 => {
            let bytes = size(random);
            (&a).write_all(&vec![1; bytes]).unwrap();
            until_readable(&b, bytes);
            truth.a_to_b.fetch_add(bytes as u64, Relaxed);
            drop((b, a));
        }
        // One side goes on after the other's end.
        5 => {
            a.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&b).read(&mut [0]).unwrap(), 0);
            let bytes = size(random);
            (&b).write_all(&vec![2; bytes]).unwrap();
            (&a).read_exact(&mut vec![0; bytes]).unwrap();
            truth.b_to_a.fetch_add(bytes as u64, Relaxed);
            drop((b, a));
        }
        // Both at once.
        _ => {
            a.shutdown(Shutdown::Write).unwrap();
            b.shutdown(Shutdown::Write).unwrap();
            drop((a, b));
        }
    }
}

/// Some five hundred connections a second.
fn churn(lab: &Lab, listener: &TcpListener, truth: &Truth, done: &AtomicBool, random: &mut Random) {
    let address: SocketAddr = listener.local_addr().unwrap();
    lab.a.enter(|| {
        while !done.load(Relaxed) {
            let a = TcpStream::connect(address).unwrap();
            let b = listener.accept().unwrap().0;
            live((a, b), truth, random);
            // The agent wants a part of the machine, too.
            sleep(Duration::from_millis(1));
        }
    });
}

/// What the parties of one side have counted together.
fn sum(agent: &Agent, side: &str) -> Bytes {
    let each = (0..NAMES).map(|number| agent.bytes(&format!("{side}{number}"), "test"));
    each.fold(Bytes::default(), |sum, next| {
        bytes(sum.transmit + next.transmit, sum.receive + next.receive)
    })
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn nothing_is_lost_in_chaos() {
    let mut random = Random::new();
    let lab = Lab::new();
    lab.a.run("sysctl -qw net.ipv4.tcp_tw_reuse=1");
    let files = FileSystem::new();
    let (mut at_a, mut at_b) = (0, 0);
    let truth = Truth::default();
    let mut agent = Agent::start(&config(&lab, &files, at_a, at_b));
    let listeners: Vec<TcpListener> = (0..3).map(|index| lab.listen(index)).collect();
    let done = AtomicBool::new(false);
    let mut acts = [0; 5];
    thread::scope(|scope| {
        for listener in &listeners[1..] {
            let mut random = random.fork();
            let (lab, truth, done) = (&lab, &truth, &done);
            scope.spawn(move || churn(lab, listener, truth, done, &mut random));
        }
        // Some stay for the whole of it.
        let address = listeners[0].local_addr().unwrap();
        let long: Vec<_> = (0..50)
            .map(|_| (lab.connect_to(address), listeners[0].accept().unwrap().0))
            .collect();
        truth.connections.fetch_add(long.len() as u64, Relaxed);
        let (truth, done) = (&truth, &done);
        scope.spawn(move || {
            while !done.load(Relaxed) {
                for (a, b) in &long {
                    truth.exchange(a, b, [1000, 300]);
                }
                // The agent wants a part of the machine, too.
                sleep(Duration::from_millis(5));
            }
        });
        let end = Instant::now() + duration();
        while Instant::now() < end {
            // At any moment, whatever the agent is at, and for any time.
            sleep(Duration::from_millis(random.below(700)));
            let act = random.below(5);
            acts[usize::try_from(act).unwrap()] += 1;
            let now = config(&lab, &files, at_a, at_b);
            match act {
                0 => {
                    agent.kill();
                    agent = Agent::spawn(Scratch::new("config.toml"), &now, &[]);
                }
                1 => {
                    agent.terminate();
                    agent = Agent::spawn(Scratch::new("config.toml"), &now, &[]);
                }
                2 => {
                    agent.signal(libc::SIGSTOP);
                    sleep(Duration::from_millis(random.below(1500)));
                    agent.signal(libc::SIGCONT);
                }
                3 => {
                    (at_a, at_b) = (random.below(NAMES), random.below(NAMES));
                    let next = agent.config().with_extension("next");
                    let text = agent.whole(&config(&lab, &files, at_a, at_b));
                    std::fs::write(&next, text).unwrap();
                    std::fs::rename(&next, agent.config()).unwrap();
                }
                _ => sleep(Duration::from_millis(random.below(1000))),
            }
        }
        done.store(true, Relaxed);
    });
    let [kills, stops, pauses, reloads, _] = acts;
    println!(
        "{kills} kills, {stops} stops, {pauses} pauses, {reloads} reloads; {} connections, {} and {} bytes",
        truth.connections.load(Relaxed),
        truth.a_to_b.load(Relaxed),
        truth.b_to_a.load(Relaxed),
    );
    let (up, down) = (truth.a_to_b.load(Relaxed), truth.b_to_a.load(Relaxed));
    let found = || (sum(&agent, "b"), sum(&agent, "a"));
    until_true(
        || agent.answers() && found() == (bytes(up, down), bytes(down, up)),
        || format!("{:?} of {up} and {down}\n{}", found(), agent.log()),
    );
    agent.after_rounds(2);
    assert_eq!(found(), (bytes(up, down), bytes(down, up)));
    assert_eq!(agent.bytes("unknown", "test"), Bytes::default());
}
