//! An agent that is killed a hundred times at random moments, under load.

use std::{
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use super::{FileSystem, Truth, expect, expect_truth};
use crate::support::{Agent, Lab, agent::Scratch, random::Random};

/// Opens and closes connections without end, about a thousand a second; either side closes first.
fn churn(lab: &Lab, listener: &TcpListener, truth: &Truth, done: &AtomicBool) {
    let address = listener.local_addr().unwrap();
    lab.a.enter(|| {
        let begin = Instant::now();
        for number in 0_u32.. {
            if done.load(Relaxed) {
                return;
            }
            let a = TcpStream::connect(address).unwrap();
            let (b, _) = listener.accept().unwrap();
            truth.connections.fetch_add(1, Relaxed);
            let size = number as usize * 7919 % 3000;
            truth.exchange(&a, &b, [size, size / 3]);
            let (first, second) = if number.is_multiple_of(4) {
                (b, a)
            } else {
                (a, b)
            };
            drop(first);
            drop(second);
            // A connection in each millisecond, so that there is a known load.
            let due = begin + Duration::from_millis(1) * number;
            sleep(due.saturating_duration_since(Instant::now()));
        }
    });
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_hundred_kills_under_load_lose_no_byte() {
    const OPEN: u64 = 200;
    const KILLS: usize = 100;
    let mut random = Random::new();
    let lab = Lab::new();
    // A thousand connections a second would otherwise run out of ports.
    lab.a.run("sysctl -qw net.ipv4.tcp_tw_reuse=1");
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let truth = Truth::default();
    let mut agent = Agent::start(&config);
    let listeners: Vec<TcpListener> = (0..3).map(|index| lab.listen(index)).collect();
    let address = listeners[0].local_addr().unwrap();
    let connections: Vec<(TcpStream, TcpStream)> = (0..OPEN)
        .map(|_| (lab.connect_to(address), listeners[0].accept().unwrap().0))
        .collect();
    truth.connections.fetch_add(OPEN, Relaxed);
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let (looked, between) = thread::scope(|scope| {
        for listener in &listeners[1..] {
            scope.spawn(|| churn(&lab, listener, &truth, &done));
        }
        scope.spawn(|| {
            while !done.load(Relaxed) {
                for (a, b) in &connections {
                    truth.exchange(a, b, [1000, 300]);
                }
                // The agent wants a part of the machine, too.
                sleep(Duration::from_millis(5));
            }
        });
        let mut shown = [0.0; 2];
        let (mut looked, mut between) = (0, 0);
        for _ in 0..KILLS {
            // A half of them in every phase of the start, of which the page tells nothing.
            let early = random.below(2) == 0;
            let longest = if early { 200 } else { 700 };
            // At any moment, whatever the agent is at.
            sleep(Duration::from_millis(random.below(longest)));
            if !early && agent.answers() && agent.get("/-/ready").contains("network: up") {
                let now = ["b", "a"].map(|party| agent.bytes(party, "test"));
                #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
                let now = now.map(|bytes| (bytes.transmit + bytes.receive) as f64);
                assert!(
                    now[0] >= shown[0] && now[1] >= shown[1],
                    "went back: {now:?}"
                );
                (shown, looked) = (now, looked + 1);
            }
            agent.kill();
            between += usize::from(files.generations() > 1);
            agent = Agent::spawn(Scratch::new("config.toml"), &config, &[]);
        }
        done.store(true, Relaxed);
        (looked, between)
    });
    let rate = u128::from(truth.connections.load(Relaxed)) * 1000 / began.elapsed().as_millis();
    println!(
        "{KILLS} kills in {:?}, {looked} of agents whose page was read, {between} in the middle of taking over; {} connections, {rate}/s, {} and {} bytes",
        began.elapsed(),
        truth.connections.load(Relaxed),
        truth.a_to_b.load(Relaxed),
        truth.b_to_a.load(Relaxed),
    );
    assert!(looked > KILLS / 10, "only {looked} agents came to count");
    agent.kill();
    let agent = Agent::start(&config);
    expect_truth(&agent, &truth, OPEN);
    drop(connections);
    expect(
        &agent,
        "mpc_connections{party_id=\"b\",protocol=\"test\"}",
        0.0,
    );
    expect_truth(&agent, &truth, 0);
}
