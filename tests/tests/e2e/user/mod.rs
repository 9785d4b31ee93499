//! The user's side: what they type, what they see, and what happens when it goes wrong.

pub(crate) mod prometheus;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Agent, Lab,
    agent::{Scratch, free_port, program},
    until, until_true,
};

fn partymeter(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A program that comes with Prometheus.
pub(crate) fn tool(name: &str) -> Command {
    let unpacked = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/prometheus/usr/bin")
        .join(name);
    let path = if unpacked.exists() {
        unpacked
    } else {
        name.into()
    };
    let there = Command::new(&path).arg("--version").output().is_ok();
    assert!(
        there,
        "needs Prometheus: {name} is not installed; run `cargo xtask setup test`"
    );
    Command::new(path)
}

/// Every error at once, each on one line with its location and help; nothing is started.
#[test]
fn bad_configurations_are_told_in_full() {
    let port = free_port();
    let text = format!(
        "interval = \"10ms\"\nnod = \"x\"\n[[parties]]\nid = \"1\"\nendpoints = [\"10.0.1.5/24\", \"10.0.0.0/16\"]\n\
         [[parties]]\nid = \"1\"\nendpoints = []\n[[parties]]\nid = \"2\"\nendpoints = [\"10.0.3.0/24\"]\n\
         [[protocols]]\nname = \"a\"\nports = [\"20-10\"]\n[prometheus]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let file = Scratch::with("bad.toml", &text);
    let path = file.0.display().to_string();
    let expected = [
        format!("{path}:2: nod: is an unknown key; help: did you mean node?"),
        format!("{path}:1: interval: 10ms is out of range; help: give 200ms to 1h"),
        format!(
            "{path}:5: parties.endpoints: 10.0.1.5/24 has host bits set; help: write 10.0.1.0/24"
        ),
        format!(
            "{path}:6: parties.endpoints: a party without endpoints; help: give endpoints = [\"10.0.0.2\"]"
        ),
        format!("{path}:14: protocols.ports: the range 20-10 is reversed; help: write \"10-20\""),
        format!(
            "{path}:6: parties.id: \"1\" appears twice, also at {path}:3; help: join them, or rename one"
        ),
        format!(
            "{path}:9: parties.endpoints: 10.0.3.0/24 of party \"2\" overlaps 10.0.0.0/16 of party \"1\"; \
             help: give each address to one party, or each party its port"
        ),
    ];
    for verb in ["run", "check"] {
        let output = partymeter(&[verb, "--config", &path]);
        assert_eq!(output.status.code(), Some(64), "{verb}");
        let told = lines(&output.stderr);
        let expected: Vec<String> = expected
            .iter()
            .map(|line| format!("partymeter: {line}"))
            .collect();
        assert_eq!(told, expected, "{verb}");
    }
    assert!(
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(),
        "something was started"
    );
}

#[test]
fn a_missing_file_and_a_host_that_does_not_resolve_are_one_line() {
    let output = partymeter(&["run", "--config", "/nowhere/partymeter.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(
        lines(&output.stderr),
        [
            "partymeter: /nowhere/partymeter.toml: cannot be read: No such file or directory (os error 2); \
          help: create it, or name another with --config"
        ]
    );
    let output = partymeter(&[
        "run",
        "--party",
        "1=party1.invalid",
        "--prometheus-listen",
        "127.0.0.1:1",
    ]);
    assert_eq!(output.status.code(), Some(64));
    let told = lines(&output.stderr);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(
        "partymeter: party \"1\": the host name \"party1.invalid\" does not resolve: "
    ));
    assert!(
        told[0].ends_with("; help: correct the name, or what resolves it; to start without it, set network.on_unresolved = \"retry\""),
        "{}",
        told[0]
    );
}

/// Started without a host name, it warns, and counts what else there is.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_host_that_does_not_resolve_can_wait() {
    let lab = Lab::new();
    let config = format!(
        "{}[[parties]]\nid = \"late\"\nendpoints = [\"late.invalid\"]\n[network]\non_unresolved = \"retry\"\n",
        lab.config()
    );
    let agent = Agent::start(&config);
    agent.wait_for("does not resolve");
    assert_eq!(
        agent.log().matches("does not resolve").count(),
        1,
        "{}",
        agent.log()
    );
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 33]).unwrap();
    (&b).read_exact(&mut [0; 33]).unwrap();
    agent.expect_moved(33, 0);
}

#[test]
fn a_second_start_on_the_same_port_is_one_line() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = partymeter(&["run", "--prometheus-listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines(&output.stderr),
        [format!(
            "partymeter: {address} is in use; help: stop the other program, or set prometheus.listen"
        )]
    );
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    for arguments in [
        &["run", "--frobnicate"][..],
        &["fly"],
        &[],
        &["run", "--interval", "soon"],
    ] {
        assert_eq!(
            partymeter(arguments).status.code(),
            Some(64),
            "{arguments:?}"
        );
    }
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["metrics"],
        &["config"],
    ] {
        let output = partymeter(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn both_signals_stop_it_though_a_client_stays() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let agent = Agent::launch("", &[]);
        // A client that holds its connection does not hold the agent up.
        let _idle = TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port)).unwrap();
        let began = Instant::now();
        agent.signal(signal);
        let (status, log) = agent.stop();
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

/// Nobody, with nothing: the network source is down and says why, everything else runs.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn without_privileges_all_else_runs() {
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ];
    let agent = Agent::launch("", &nobody);
    let reason = "the kernel refused to create the BPF maps: no permission; help: run as root or with CAP_BPF, CAP_PERFMON";
    let ready = agent.get("/-/ready");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(
        ready.contains(&format!("network: down: {reason}\n")) && ready.ends_with("host: up\n"),
        "{ready}"
    );
    assert_eq!(
        agent.series("partymeter_source_up{source=\"network\"}"),
        Some(0.0)
    );
    assert_eq!(
        agent.series("partymeter_source_up{source=\"host\"}"),
        Some(1.0)
    );
    assert!(agent.series("process_resident_memory_bytes").is_some());
    assert!(
        !agent.get("/metrics").contains("network_bytes_total"),
        "missing is absent"
    );
    until_true(
        || {
            let labels = "source=\"network\",kind=\"permission\"";
            agent.series(&format!("partymeter_source_errors_total{{{labels}}}")) >= Some(3.0)
        },
        || "it is not tried again",
    );
    assert_eq!(agent.log().matches(reason).count(), 1, "{}", agent.log());
}

/// `check` tells the same as the running agent would, and its exit code is for scripts.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn check_tells_what_is_allowed() {
    let listen = format!("127.0.0.1:{}", free_port());
    let output = partymeter(&["check", "--prometheus-listen", &listen]);
    assert_eq!(output.status.code(), Some(0), "{:?}", lines(&output.stdout));
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ])
        .arg(program())
        .args(["check", "--prometheus-listen", &listen])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = lines(&output.stdout);
    assert!(
        told.iter()
            .any(|line| line.starts_with("privileges") && line.contains("DOWN")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|line| line.starts_with("BPF programs") && line.contains("CAP_BPF")),
        "{told:?}"
    );
}

/// What a client can hold is bounded, and a rude one does not keep others out.
#[test]
fn rude_clients_do_not_keep_others_out() {
    let agent = Agent::launch("", &[]);
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port)).unwrap();
    let ask = |request: &str| {
        let mut stream = connect();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let end = "Host: localhost\r\nConnection: close\r\n\r\n";
    let huge = format!(
        "GET /metrics HTTP/1.1\r\nX: {}\r\n{end}",
        "x".repeat(40_000)
    );
    assert_eq!(ask(&huge), "HTTP/1.1 431 Request Header Fields Too Large");
    let many = format!("GET /metrics HTTP/1.1\r\n{}{end}", "X: y\r\n".repeat(200));
    assert_eq!(ask(&many), "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(ask("nonsense\r\n\r\n"), "HTTP/1.1 400 Bad Request");
    assert_eq!(
        ask(&format!("POST /metrics HTTP/1.1\r\n{end}")),
        "HTTP/1.1 405 Method Not Allowed"
    );
    assert_eq!(
        ask(&format!("GET /nowhere HTTP/1.1\r\n{end}")),
        "HTTP/1.1 404 Not Found"
    );
    assert_eq!(
        ask(&format!("HEAD /metrics HTTP/1.1\r\n{end}")),
        "HTTP/1.1 200 OK"
    );
    // As many as are served at one time, and each says nothing: the next waits until their time is over.
    let silent: Vec<TcpStream> = (0..64).map(|_| connect()).collect();
    let began = Instant::now();
    let mut stream = connect();
    stream
        .write_all(format!("GET /-/healthy HTTP/1.1\r\n{end}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("healthy\n"), "{answer:?}");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    drop(silent);
}
