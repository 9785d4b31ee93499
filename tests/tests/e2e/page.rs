//! The page while others hold its connections.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use partymeter_fake_nvml::SCENARIO;

use crate::{
    gpu::library,
    support::{Agent, Lab},
};

/// More than the agent may have files open.
const CLIENTS: usize = 200;

/// With as few files as the sources need: clients that hold connections keep neither a source from its work nor
/// another client from its answer.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn clients_that_hold_connections_harm_nobody() {
    let lab = Lab::new();
    let config = format!(
        "[gpu]\nlibrary = \"{}\"\n{}",
        library().display(),
        lab.config()
    );
    let scenario = format!("{SCENARIO}=h100x8");
    let few = "ulimit -n 64 && exec \"$@\"";
    let agent = Agent::launch(&config, &["sh", "-c", few, "sh", "env", &scenario]);
    agent.wait_for("only 64 files may be open");
    let mut moved = 0;
    for said in [
        "",
        "GET /metrics HT",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let held = (0..CLIENTS).map(|_| {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port)).unwrap();
            // It may have had to go already.
            drop(client.write_all(said.as_bytes()));
            client
        });
        let held: Vec<TcpStream> = held.collect();
        assert!(agent.get("/-/healthy").ends_with("healthy\n"), "{said:?}");
        let (a, b) = lab.connection();
        crate::pin::move_bytes(&a, &b, 100_000);
        moved += 100_000;
        agent.expect_moved(moved, 0);
        agent.after_rounds_of("gpu7", 2);
        let ready = agent.get("/-/ready");
        assert!(
            ready.contains("200 OK"),
            "{said:?}: {ready}\n{}",
            agent.log()
        );
        drop(held);
    }
    assert!(!agent.log().contains("cannot accept"), "{}", agent.log());
}

/// As an HTTP client asks whose page in a browser has its own name point to this machine.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_request_by_another_name_gets_nothing() {
    let config = "node = \"node7\"\n[gpu]\nenabled = false\n[network]\nenabled = false\n";
    let agent = Agent::launch(
        config,
        &["env", "PARTYMETER_PROMETHEUS_ALLOWED_HOSTS=metrics.example"],
    );
    let ask = |host: &str| {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port)).unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    for own in ["node7:9464", "metrics.example", "127.0.0.1", "localhost"] {
        assert!(ask(own).starts_with("HTTP/1.1 200 "), "{own}");
    }
    let answer = ask("evil.example");
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(!answer.contains("partymeter_build_info"), "{answer}");
}
