//! Whom we wait for: three parties whose rounds, sizes and delays are known, because these tests are them. The agent
//! sees what party 0 alone would: to it, the others are where they talk to party 0 from, and to each other they talk
//! in another network.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    thread::{self, sleep},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use partymeter_fake_nvml::{SCENARIO, Scenario, models::Model, scenario::Load};

use crate::{
    gpu::library,
    messages::{expect, messages, of},
    support::{
        Agent, Hosts,
        agent::{Bytes, Scratch},
        until_true,
    },
};

const ROUNDS: u32 = 20;
/// One segment, so that each message is read whole.
const SIZE: usize = 1000;
const SLOW: Duration = Duration::from_millis(50);
/// A host beside those of the parties.
const RELAY: u8 = 3;

/// Three parties and their lines: of each party its ends to the two others.
struct Trio {
    hosts: Hosts,
    ends: [Vec<TcpStream>; 3],
}

impl Trio {
    /// All on one switch.
    fn new() -> Self {
        let hosts = Hosts::new(3);
        let at_0 = |index| SocketAddr::from((hosts.address(0), hosts.port(index)));
        let (one, zero_to_one) = hosts.line(1, 0, at_0(0));
        let (two, zero_to_two) = hosts.line(2, 0, at_0(1));
        Self::joined(hosts, [zero_to_one, zero_to_two], one, two)
    }

    /// Party 1 talks to party 0 through a relay, which lets everything wait.
    fn relayed(delay: Duration) -> Self {
        let hosts = Hosts::new(4);
        let at_0 = |index| SocketAddr::from((hosts.address(0), hosts.port(index)));
        // Not on a port of the protocol: this end is not party 0's.
        let (one, relay_to_one) = hosts.line(1, RELAY, (hosts.aside(RELAY), 9).into());
        let (relay_to_zero, zero_to_one) = hosts.line(RELAY, 0, at_0(0));
        let (two, zero_to_two) = hosts.line(2, 0, at_0(1));
        relay(&relay_to_one, &relay_to_zero, delay);
        relay(&relay_to_zero, &relay_to_one, delay);
        Self::joined(hosts, [zero_to_one, zero_to_two], one, two)
    }

    fn joined(hosts: Hosts, zero: [TcpStream; 2], one: TcpStream, two: TcpStream) -> Self {
        let (one_to_two, two_to_one) = hosts.line(1, 2, (hosts.aside(2), 9).into());
        Self {
            hosts,
            ends: [zero.into(), vec![one, one_to_two], vec![two, two_to_one]],
        }
    }

    /// The configuration of party 0's agent; `one` is the host that party 1 is to it.
    fn config(&self, one: u8) -> String {
        let hosts = &self.hosts;
        format!(
            "{}{}[[protocols]]\nname = \"test\"\nports = [{}, {}]\n",
            Hosts::party(1, hosts.address(one)),
            Hosts::party(2, hosts.address(2)),
            hosts.port(0),
            hosts.port(1)
        )
    }

    /// All rounds. In each, every party sends to the others and reads from them; the one that `answers` reads first,
    /// and takes its time before it sends: that time is what is measured.
    fn play(&self, answers: usize, pause: Duration) {
        thread::scope(|scope| {
            for (party, ends) in self.ends.iter().enumerate() {
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if party == answers {
                            read_all(ends);
                            sleep(pause);
                            send_all(ends);
                        } else {
                            send_all(ends);
                            read_all(ends);
                        }
                    }
                });
            }
        });
    }
}

fn send_all(ends: &[TcpStream]) {
    for mut end in ends {
        end.write_all(&[1; SIZE]).unwrap();
    }
}

/// A message of each, whichever comes first.
fn read_all(ends: &[TcpStream]) {
    let mut left: Vec<&TcpStream> = ends.iter().collect();
    while !left.is_empty() {
        let mut polled: Vec<PollFd<'_>> = left
            .iter()
            .map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN))
            .collect();
        poll(&mut polled, PollTimeout::NONE).unwrap();
        let ready: Vec<bool> = polled.iter().map(|end| end.any() == Some(true)).collect();
        let mut ready = ready.into_iter();
        left.retain(|end| {
            let ready = ready.next().unwrap();
            if ready {
                let mut end: &TcpStream = end;
                end.read_exact(&mut [0; SIZE]).unwrap();
            }
            !ready
        });
    }
}

/// Hands on what comes, later; until the connection is closed.
fn relay(from: &TcpStream, to: &TcpStream, delay: Duration) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut data = [0; SIZE];
        while let Ok(length @ 1..) = from.read(&mut data) {
            // The time that the line takes.
            sleep(delay);
            if to.write_all(&data[..length]).is_err() {
                break;
            }
        }
    });
}

/// What `topk(1, sum by (party_id) (mpc_waiting_seconds_total))` says.
fn straggler(agent: &Agent) -> String {
    let mut sums = BTreeMap::<String, f64>::new();
    for line in agent.get("/metrics").lines() {
        if let Some(series) = line.strip_prefix("mpc_waiting_seconds_total{party_id=\"") {
            let (party, rest) = series.split_once('"').unwrap();
            let (_, seconds) = rest.split_once(' ').unwrap();
            *sums.entry(party.to_owned()).or_default() += seconds.parse::<f64>().unwrap();
        }
    }
    let most = sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    most.expect("nobody is waited for").0
}

/// Every message and round of both others is counted, none of them is counted twice, and the slow one was waited for
/// at least so long in each round, and far longer than the quick one.
fn check(agent: &Agent, slow: &str, quick: &str, least: Duration) {
    for party in [slow, quick] {
        let rounds = f64::from(ROUNDS);
        expect(agent, rounds, |it| {
            of(it, "mpc_rounds_total", party, "test")
        });
        let waits = of(agent, "mpc_peer_wait_seconds_count", party, "test");
        assert_eq!(waits, Some(rounds), "of {party}");
        for direction in ["transmit", "receive"] {
            expect(agent, rounds, |it| messages(it, direction, party));
        }
    }
    let bytes = u64::from(ROUNDS) * SIZE as u64;
    let both = Bytes {
        transmit: bytes,
        receive: bytes,
    };
    agent.expect(&[(slow, "test", both), (quick, "test", both)]);
    let least = least.as_secs_f64() * f64::from(ROUNDS);
    for figure in ["mpc_peer_wait_seconds_sum", "mpc_waiting_seconds_total"] {
        let waited = |party| of(agent, figure, party, "test").unwrap();
        let (slow, quick) = (waited(slow), waited(quick));
        // A histogram's times are cut to microseconds.
        assert!(
            slow >= least - 1e-6 * f64::from(ROUNDS),
            "{figure}: {slow} s"
        );
        assert!(quick < slow / 4.0, "{figure}: {quick} s, and {slow} s");
    }
    assert_eq!(straggler(agent), slow);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn who_computes_longer_is_found_by_name() {
    let trio = Trio::new();
    let agent = Agent::start(&trio.config(1));
    trio.play(2, SLOW);
    check(&agent, "2", "1", SLOW);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn who_is_behind_a_slow_line_is_found_by_name() {
    const DELAY: Duration = Duration::from_millis(25);
    let trio = Trio::relayed(DELAY);
    let agent = Agent::start(&trio.config(RELAY));
    trio.play(1, Duration::ZERO);
    // There and back.
    check(&agent, "1", "2", 2 * DELAY);
}

/// One that does not answer any more is told while it does not.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn who_hangs_is_found_while_it_hangs() {
    let trio = Trio::new();
    let agent = Agent::start(&trio.config(1));
    trio.play(2, Duration::ZERO);
    let (mut mine, mut its) = (&trio.ends[0][0], &trio.ends[1][0]);
    mine.write_all(&[1; SIZE]).unwrap();
    its.read_exact(&mut [0; SIZE]).unwrap();
    let waited = |agent: &Agent| of(agent, "mpc_waiting_seconds_total", "1", "test").unwrap();
    let before = waited(&agent);
    until_true(
        || waited(&agent) >= before + 1.0,
        || format!("{} s", waited(&agent)),
    );
    assert_eq!(straggler(&agent), "1");
    let rounds = of(&agent, "mpc_rounds_total", "1", "test");
    assert_eq!(rounds, Some(f64::from(ROUNDS)), "no round is over");
    // The answer ends it.
    its.write_all(&[1; SIZE]).unwrap();
    mine.read_exact(&mut [0; SIZE]).unwrap();
    expect(&agent, f64::from(ROUNDS + 1), |it| {
        of(it, "mpc_rounds_total", "1", "test")
    });
    let over = waited(&agent);
    agent.after_rounds(2);
    assert!(
        (waited(&agent) - over).abs() < f64::EPSILON,
        "still waiting"
    );
}

/// GPU 0 has nothing to do meanwhile, GPU 1 works.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn idle_gpus_are_told_whom_they_wait_for() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.gpus[1].load = Load::Busy;
    let file = Scratch::with("scenario.json", &serde_json::to_string(&scenario).unwrap());
    let trio = Trio::new();
    let config = format!(
        "{}[gpu]\nlibrary = \"{}\"\n",
        trio.config(1),
        library().display()
    );
    let agent = Agent::launch(
        &config,
        &["env", &format!("{SCENARIO}={}", file.0.display())],
    );
    for gpu in [0, 1] {
        expect(&agent, 1.0, |it| {
            it.series(&format!("gpu_up{{gpu_id=\"{gpu}\"}}"))
        });
    }
    trio.play(2, SLOW);
    check(&agent, "2", "1", SLOW);
    let idle = |gpu, party| {
        let labels = format!("gpu_id=\"{gpu}\",party_id=\"{party}\",protocol=\"test\"");
        let series = format!("gpu_idle_waiting_seconds_total{{{labels}}}");
        agent
            .series(&series)
            .unwrap_or_else(|| panic!("no {series}"))
    };
    let waited = of(&agent, "mpc_waiting_seconds_total", "2", "test").unwrap();
    let idle_for_slow = idle(0, 2);
    // All of it but what is at the edges of intervals.
    assert!(
        idle_for_slow > waited / 2.0 && idle_for_slow < waited + 1e-6,
        "{idle_for_slow} s, waited for {waited} s"
    );
    for (what, less) in [
        ("the quick one", idle(0, 1)),
        ("a GPU that works", idle(1, 2)),
    ] {
        assert!(less < idle_for_slow / 4.0, "{what}: {less} s");
    }
}
