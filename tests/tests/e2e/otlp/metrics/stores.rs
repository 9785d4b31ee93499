//! Other receivers: a store that answers queries, and one that takes all three signals.

use super::*;

/// A program that is stopped when dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store that answers queries: it has what the page has.
#[test]
#[ignore = "needs root, VictoriaMetrics: `cargo xtask test` runs it"]
fn victoria_metrics_answers_with_what_the_page_has() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let store = here.join("../target/victoria-metrics/usr/bin/victoria-metrics");
    assert!(
        store.exists(),
        "needs VictoriaMetrics: no {}; run `cargo xtask setup test`",
        store.display()
    );
    let (port, data) = (free_port(), Scratch::new("victoria"));
    let child = Command::new(store)
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg(format!("-storageDataPath={}", data.0.display()))
        .args([
            "-search.latencyOffset=0s",
            "-memory.allowedBytes=64MB",
            "-inmemoryDataFlushInterval=1s",
        ])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _stopped = Stopped(child);
    let lab = Lab::new();
    let config = format!(
        "party_id = \"me\"\n{}\n[otlp]\nendpoint = \"http://127.0.0.1:{port}/opentelemetry\"\nprotocol = \"http/protobuf\"\ninterval = \"1s\"\nsignals = [\"metrics\"]\n",
        lab.config()
    );
    let agent = Agent::start(&config);
    let (a, b) = lab.connection();
    (&a).write_all(&vec![1; 123_456]).unwrap();
    (&b).read_exact(&mut vec![0; 123_456]).unwrap();
    agent.expect_moved(123_456, 0);
    let ask = |query: &str| -> Option<f64> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        let escaped = percent_encode(query.as_bytes(), NON_ALPHANUMERIC);
        write!(stream, "GET /api/v1/query?query={escaped} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        let [result] = &answer["data"]["result"].as_array()?[..] else {
            return None;
        };
        result["value"][1].as_str()?.parse().ok()
    };
    let wait = |query: &str, wanted: f64| {
        until_true(
            || ask(query).is_some_and(|value| (value - wanted).abs() < 0.5),
            || format!("{query} is {:?}, not {wanted}\n{}", ask(query), agent.log()),
        );
    };
    let io = |party: &str, direction: &str| {
        format!(
            "sum({{__name__=\"system.network.io\",\"mpc.peer.party_id\"=\"{party}\",\"network.io.direction\"=\"{direction}\"}})"
        )
    };
    wait(&io("b", "transmit"), 123_456.0);
    wait(&io("a", "receive"), 123_456.0);
    wait("sum({__name__=\"partymeter.mpc.connections\"})", 2.0);
    wait("count({__name__=\"partymeter.source.up\"})", 4.0);
    drop((a, b));
}

/// Another receiver, by both ways: it takes all three signals.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn rotel_takes_all_three_signals() {
    let python = python("rotel");
    let (grpc, http) = (free_port(), free_port());
    let found = Command::new(python)
        .args([
            "-c",
            "import rotel, os; print(os.path.dirname(rotel.__file__))",
        ])
        .output();
    let home = String::from_utf8(found.unwrap().stdout).unwrap();
    let log = Scratch::new("rotel.log");
    let output = || {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log.0)
            .unwrap()
    };
    let child = Command::new(std::path::Path::new(home.trim()).join("rotel-agent"))
        .current_dir(std::env::temp_dir())
        .args([
            "start",
            "--otlp-grpc-endpoint",
            &format!("127.0.0.1:{grpc}"),
        ])
        .args([
            "--otlp-http-endpoint",
            &format!("127.0.0.1:{http}"),
            "--exporter",
            "blackhole",
        ])
        .args([
            "--debug-log",
            "metrics",
            "--debug-log",
            "logs",
            "--debug-log",
            "traces",
        ])
        .args(["--debug-log-verbosity", "detailed"])
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap();
    let _stopped = Stopped(child);
    for (port, protocol) in [(grpc, "grpc"), (http, "http/protobuf")] {
        let keys = format!(
            "endpoint = \"http://127.0.0.1:{port}\"\nprotocol = \"{protocol}\"\ninterval = \"1s\"\ntrace_rounds = 1\nresource = \"service.name=by-{protocol}\""
        );
        let sending = Sending::start(&keys);
        let sent =
            |signal: &str| sending.count("points_sent_total", &format!("signal=\"{signal}\""));
        until_true(
            || {
                let signals = ["metrics", "logs", "traces"];
                signals.iter().all(|signal| sent(signal) >= 1.0)
            },
            || sending.agent.log(),
        );
        for wanted in [
            format!("Str(by-{protocol})"),
            "Name: hw.gpu.memory.usage".to_owned(),
            "NVML is loaded".to_owned(),
            "collect gpu0".to_owned(),
        ] {
            until_true(
                || std::fs::read_to_string(&log.0).unwrap().contains(&wanted),
                || format!("no {wanted:?} in what Rotel has logged"),
            );
        }
        for signal in ["metrics", "logs", "traces"] {
            for reason in ["rejected", "refused", "replaced", "overflow"] {
                let labels = format!("signal=\"{signal}\",reason=\"{reason}\"");
                // Rotel may have been asked before it was up.
                let dropped = sending.count("points_dropped_total", &labels);
                assert!(dropped < 1.0 || reason == "replaced", "{labels}: {dropped}");
            }
        }
    }
}
