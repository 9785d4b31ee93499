//! Connections from an address that is no party's: counted, told in the log, never on the page.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{Agent, Lab, agent::Bytes, needs_root};

/// The lines of the log that tell of strangers, once there are so many.
fn told(agent: &Agent, count: usize) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let log = agent.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("unexpected connection:"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < end, "{log}");
        sleep(Duration::from_millis(50));
    }
}

/// Only B is a party, so A is a stranger to B.
fn config(lab: &Lab) -> String {
    format!(
        "[[parties]]\nid = \"b\"\nendpoints = [\"{}\"]\n{}[log]\nformat = \"json\"\n",
        lab.v4(2),
        lab.protocol()
    )
}

const UNEXPECTED: &str = "mpc_unexpected_connections_total{protocol=\"test\",role=\"acceptor\"}";

#[test]
fn who_came_is_in_the_log_and_not_on_the_page() {
    needs_root!();
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    assert_eq!(agent.series(UNEXPECTED), Some(0.0));
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 77]).unwrap();
    (&b).read_exact(&mut [0; 77]).unwrap();
    let lines = told(&agent, 1);
    let event: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let port = a.local_addr().unwrap().port();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let expected = [
        ("address", serde_json::json!(lab.v4(1).to_string())),
        ("port", serde_json::json!(port)),
        ("local_port", serde_json::json!(lab.port(0))),
        ("protocol", serde_json::json!("test")),
        ("pid", serde_json::json!(std::process::id())),
        ("command", serde_json::json!(comm.trim_end())),
    ];
    for (field, value) in expected {
        assert_eq!(event[field], value, "{event}");
    }
    assert_eq!(event["target"], "partymeter::security");
    assert_eq!(agent.series(UNEXPECTED), Some(1.0));
    let received = Bytes {
        transmit: 0,
        receive: 77,
    };
    agent.expect(&[("unknown", "test", received)]);
    assert!(!agent.get("/metrics").contains(&lab.v4(1).to_string()));
    assert_eq!(told(&agent, 1).len(), 1, "told once");
}

#[test]
fn many_of_them_do_not_fill_the_log() {
    needs_root!();
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let connections: Vec<(TcpStream, TcpStream)> = (0..60)
        .map(|_| (lab.connect_to(address), listener.accept().unwrap().0))
        .collect();
    told(&agent, 10);
    let end = Instant::now() + Duration::from_secs(5);
    while agent.series(UNEXPECTED) != Some(60.0) {
        assert!(Instant::now() < end, "{:?}", agent.series(UNEXPECTED));
        sleep(Duration::from_millis(50));
    }
    assert_eq!(told(&agent, 10).len(), 10);
    drop(connections);
    // What was not told is summed up.
    let end = Instant::now() + Duration::from_secs(15);
    while !agent.log().contains("50 more in 1") {
        assert!(Instant::now() < end, "{}", agent.log());
        sleep(Duration::from_millis(100));
    }
}
