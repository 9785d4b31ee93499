//! What is said of the line to a party: round-trip times, segments, connections and how they end, processes; against
//! INET_DIAG and what the tests have done themselves.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::support::{Agent, Lab, diag, lab::Namespace, until_true};

/// The labels of A's sockets, and of B's.
const OF_A: &str = "party_id=\"b\",protocol=\"test\"";
const OF_B: &str = "party_id=\"a\",protocol=\"test\"";

/// One question and one answer of a byte, so many times.
fn ping_pong((mut a, mut b): (&TcpStream, &TcpStream), times: u32, size: usize) {
    let mut message = vec![0; size];
    for _ in 0..times {
        a.write_all(&message).unwrap();
        b.read_exact(&mut message).unwrap();
        b.write_all(&[1]).unwrap();
        a.read_exact(&mut [0]).unwrap();
    }
}

/// Waits until all of the series have these values, and no longer than is patient.
fn expect(agent: &Agent, wanted: &[(String, f64)]) {
    let found = || -> Vec<_> { wanted.iter().map(|(it, _)| agent.series(it)).collect() };
    until_true(
        || {
            found()
                .iter()
                .zip(wanted)
                .all(|(found, (_, it))| *found == Some(*it))
        },
        || format!("{wanted:?}, found {:?}\n{}", found(), agent.log()),
    );
}

/// A histogram's count, sum, and how many are at or under a bound.
fn histogram(agent: &Agent, labels: &str, bound: &str) -> Option<(f64, f64, f64)> {
    let of = |suffix: &str, labels: &str| {
        agent.series(&format!("mpc_network_latency_seconds_{suffix}{{{labels}}}"))
    };
    let under = of("bucket", &format!("le=\"{bound}\",{labels}"));
    Some((of("count", labels)?, of("sum", labels)?, under?))
}

/// Values that `ss` shows of the only connection in a namespace, as `rtt:0.05/0.02` or `data_segs_out:3`.
fn ss(namespace: &Namespace, name: &str) -> f64 {
    let text = diag::text(namespace);
    let mut words = text.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    // What is 0 is not shown.
    let value = value.map_or("0", |value| value.split('/').next().unwrap());
    value.parse().unwrap()
}

/// How long this thread was on a processor or waited for one. Unit: seconds.
fn not_waiting() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = times.split_whitespace().take(2);
    nanoseconds.map(|it| it.parse::<f64>().unwrap() / 1e9).sum()
}

/// A line on which a message of 1,000 bytes takes (1,000 + 66) * 8 bits / 1 Mbit/s = 8.5 ms.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn round_trips_take_what_the_line_takes() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    lab.a
        .run("tc qdisc replace dev eth root tbf rate 1mbit burst 1600 limit 30kb");
    let (a, b) = lab.connection();
    a.set_nodelay(true).unwrap();
    let (began, busy) = (Instant::now(), not_waiting());
    ping_pong((&a, &b), 100, 1000);
    let (took, busy) = (began.elapsed().as_secs_f64(), not_waiting() - busy);
    agent.expect_moved(100_000, 100);
    let (count, sum, _) = histogram(&agent, OF_A, "+Inf").unwrap();
    assert!(count >= 100.0, "{count} samples of 100 messages");
    assert!(took > 0.8, "the line does not hold up: {took} s");
    // One round trip follows the other. Between them this thread only works, or waits for a processor.
    assert!(
        (took - busy - 0.05..took + 0.25).contains(&sum),
        "{sum} s in {took} s, of which the thread was busy for {busy} s"
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_page_says_what_the_kernel_says() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    ping_pong((&a, &b), 300, 3000);
    agent.expect_moved(900_000, 300);
    for (namespace, labels) in [(&lab.a, OF_A), (&lab.b, OF_B)] {
        let rtt = agent.series(&format!("mpc_network_smoothed_rtt_seconds{{{labels}}}"));
        let expected = ss(namespace, "rtt") / 1e3;
        assert!(
            (rtt.unwrap() - expected).abs() < 2e-6,
            "{rtt:?}, {expected}"
        );
        for (direction, name) in [("transmit", "data_segs_out"), ("receive", "data_segs_in")] {
            let series = format!("network_segments_total{{direction=\"{direction}\",{labels}}}");
            assert_eq!(agent.series(&series), Some(ss(namespace, name)), "{series}");
        }
        // No time is under the least that the kernel has seen.
        let (_, sum, none) = histogram(&agent, labels, "+Inf").unwrap();
        assert!(sum / none >= ss(namespace, "minrtt") / 1e3);
    }
    let before = agent.get("/metrics");
    drop((a, b));
    expect(&agent, &[(format!("mpc_connections{{{OF_A}}}"), 0.0)]);
    let of = |page: &str| {
        let lines = page
            .lines()
            .filter(|line| line.starts_with("network_segments_total"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        of(&before),
        of(&agent.get("/metrics")),
        "a FIN is no segment with payload"
    );
}

/// What is older than the agent cannot be armed: it is sampled, so is everything where there are no events.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn without_events_times_are_sampled() {
    let lab = Lab::new();
    let older = lab.connection();
    let agents = [
        Agent::start(&lab.config()),
        Agent::start(&format!("[network]\ncgroup = \"/proc\"\n{}", lab.config())),
        Agent::start(&format!("[network]\nlatency = false\n{}", lab.config())),
    ];
    let newer = lab.connection();
    for _ in 0..10 {
        ping_pong((&older.0, &older.1), 20, 100);
        ping_pong((&newer.0, &newer.1), 20, 100);
        // Each of them has one of its own to sample.
        agents[0].after_rounds(1);
    }
    let count = |agent: &Agent| {
        agent.expect_moved(40_000, 400);
        histogram(agent, OF_A, "+Inf").map(|(count, _, _)| count)
    };
    let info = |agent: &Agent| {
        let page = agent.get("/metrics");
        let line = page
            .lines()
            .find(|line| line.starts_with("partymeter_network_accounting_info"));
        line.unwrap().to_owned()
    };
    let [events, sampled, off] = &agents;
    assert!(
        info(events).contains("latency=\"sock_ops\""),
        "{}",
        info(events)
    );
    assert!(
        count(events) >= Some(200.0),
        "all of one, some of the other: {:?}",
        count(events)
    );
    assert!(
        info(sampled).contains("latency=\"settle\""),
        "{}",
        info(sampled)
    );
    let few = count(sampled).unwrap();
    assert!(
        (2.0..60.0).contains(&few),
        "{few} samples in some ten rounds"
    );
    let ready = sampled.get("/-/ready");
    assert!(ready.contains("200 OK"), "{ready}");
    assert!(
        ready.contains("network: limited: ") && ready.contains("round-trip times are sampled"),
        "{ready}"
    );
    assert!(
        ready.contains("/proc is no cgroup2; help: correct network.cgroup"),
        "{ready}"
    );
    assert!(info(off).contains("latency=\"off\""), "{}", info(off));
    assert_eq!(count(off), None);
    assert!(!off.get("/-/ready").contains("round-trip times"));
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn connections_and_how_they_end() {
    let lab = Lab::new();
    let older = lab.connection();
    let agent = Agent::start(&lab.config());
    let opened = |role: &str, of| format!("mpc_connections_opened_total{{role=\"{role}\",{of}}}");
    let closed =
        |reason: &str, of| format!("mpc_connections_closed_total{{reason=\"{reason}\",{of}}}");
    let open = |of| format!("mpc_connections{{{of}}}");
    let failures = |of| format!("mpc_connection_failures_total{{{of}}}");
    expect(
        &agent,
        &[(open(OF_A), 1.0), (opened("initiator", OF_A), 0.0)],
    );

    let [in_order, unread, silent] = [(); 3].map(|()| lab.connection());
    expect(
        &agent,
        &[
            (open(OF_A), 4.0),
            (open(OF_B), 4.0),
            (opened("initiator", OF_A), 3.0),
            (opened("acceptor", OF_A), 0.0),
            (opened("acceptor", OF_B), 3.0),
            (opened("initiator", OF_B), 0.0),
        ],
    );

    drop(in_order);
    drop(older);
    expect(
        &agent,
        &[
            (open(OF_A), 2.0),
            (closed("fin", OF_A), 2.0),
            (closed("fin", OF_B), 2.0),
            (closed("reset", OF_A), 0.0),
        ],
    );

    // Unread data at B resets the connection: B's end at once, A's when it hears of it.
    (&unread.0).write_all(&[1; 100]).unwrap();
    while unread.1.peek(&mut [0; 100]).unwrap() < 100 {}
    drop(unread.1);
    let ended = (&unread.0).read(&mut [0; 1]);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    expect(
        &agent,
        &[(closed("reset", OF_A), 1.0), (closed("reset", OF_B), 1.0)],
    );

    // Nobody listens; and somebody gives up before there is an answer.
    for _ in 0..2 {
        let refused = lab.a.enter(|| TcpStream::connect((lab.v4(2), lab.port(3))));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    expect(&agent, &[(failures(OF_A), 2.0), (failures(OF_B), 0.0)]);

    // The cable is cut.
    let patience = Some(Duration::from_millis(400));
    SockRef::from(&silent.0)
        .set_tcp_user_timeout(patience)
        .unwrap();
    lab.b.run("ip link set eth down");
    (&silent.0).write_all(&[1]).unwrap();
    let ended = (&silent.0).read(&mut [0; 1]);
    let kind = ended.unwrap_err().kind();
    assert!(
        matches!(kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable),
        "{kind}"
    );
    expect(
        &agent,
        &[
            (closed("timeout", OF_A), 1.0),
            (open(OF_A), 0.0),
            (open(OF_B), 1.0),
            (closed("reset", OF_A), 1.0),
            (closed("fin", OF_A), 2.0),
        ],
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_process_is_a_session_as_long_as_it_holds_a_connection() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let sessions = |count| [("mpc_active_sessions{protocol=\"test\"}".to_owned(), count)];
    expect(&agent, &sessions(0.0));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    // Both ends are in this process, and several connections are no more than one.
    let own = [lab.connect_to(address), lab.connect_to(address)];
    let accepted = [(); 2].map(|()| listener.accept().unwrap().0);
    expect(&agent, &sessions(1.0));
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; echo open; read line",
        address.ip(),
        address.port()
    );
    let mut other = Command::new("ip")
        .args(["netns", "exec", &lab.a.name, "bash", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    other
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut [0; 4])
        .unwrap();
    let (from_other, _) = listener.accept().unwrap();
    expect(&agent, &sessions(2.0));
    drop((own, accepted));
    expect(&agent, &[(format!("mpc_connections{{{OF_A}}}"), 1.0)]);
    expect(&agent, &sessions(2.0));
    drop(other.stdin.take());
    other.wait().unwrap();
    expect(&agent, &sessions(1.0));
    drop(from_other);
    expect(&agent, &sessions(0.0));
}

/// One privilege less: bytes are counted all the same.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn without_cap_net_admin_only_round_trips_are_fewer() {
    let lab = Lab::new();
    let fewer = [
        "setpriv",
        "--inh-caps=-all",
        "--bounding-set=-all,+bpf,+perfmon",
    ];
    let agent = Agent::launch(&lab.config(), &fewer);
    let ready = agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("CAP_NET_ADMIN"),
        "{ready}"
    );
    let (a, b) = lab.connection();
    ping_pong((&a, &b), 50, 1000);
    agent.expect_moved_live(&lab, 50_000, 50);
    drop((a, b));
    agent.expect_moved(50_000, 50);
    expect(
        &agent,
        &[(
            format!("mpc_connections_opened_total{{role=\"initiator\",{OF_A}}}"),
            1.0,
        )],
    );
}
