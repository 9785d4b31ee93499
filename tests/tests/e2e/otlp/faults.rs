//! A receiver that does not do what it should: what is counted, what is logged, and that all is well again soon.

use std::{fmt::Write as _, process::Command};

use serde_json::Value;

use super::Sending;
use crate::support::{
    agent::{Scratch, free_port},
    receiver::Receiver,
    until, until_true,
};

impl Sending {
    /// Waits until a counter is at least that.
    fn until(&self, counter: &str, labels: &str, least: f64) {
        until_true(
            || self.count(counter, labels) >= least,
            || {
                format!(
                    "{counter}{{{labels}}} stays under {least}\n{}",
                    self.agent.log()
                )
            },
        );
    }

    fn is_up(&self) -> bool {
        self.agent.series("partymeter_otlp_up{signal=\"metrics\"}") == Some(1.0)
    }

    fn wait_up(&self, up: bool) {
        until_true(
            || self.is_up() == up,
            || format!("up is not {up}\n{}", self.agent.log()),
        );
    }

    /// The sources are read as ever.
    fn works(&self) {
        self.agent.after_rounds_of("gpu0", 2);
        let page = self.agent.get("/metrics");
        assert!(page.contains("gpu_up{gpu_id=\"0\"} 1"), "{page}");
    }
}

/// Requests of metrics, taken or not.
fn asked(receiver: &Receiver) -> Vec<Value> {
    let taken = receiver.taken();
    let requests = taken["requests"].as_array().unwrap();
    requests
        .iter()
        .filter(|request| request["signal"] == "metrics")
        .cloned()
        .collect()
}

/// Where the fault shows, and where points go to.
fn fault(transport: &str, fault: &str, reason: &str, told: &str) {
    let receiver = Receiver::start(&[]);
    let keys = format!(
        "{}interval = \"1s\"\ntimeout = \"1s\"\nsignals = \"metrics\"",
        receiver.keys(transport)
    );
    let sending = Sending::start(&keys);
    sending.wait_up(true);
    receiver.fault(fault);
    sending.wait_up(false);
    sending.until(
        "points_dropped_total",
        &format!("signal=\"metrics\",reason=\"{reason}\""),
        300.0,
    );
    sending.works();
    let more = asked(&receiver).len() + 2;
    until_true(|| asked(&receiver).len() >= more, || sending.agent.log());
    let log = sending.agent.log();
    let down: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("is down") || line.contains("refuses them for good"))
        .collect();
    assert_eq!(down.len(), 1, "said once: {log}");
    assert!(down[0].contains(told), "{}", down[0]);
    receiver.fault("");
    sending.wait_up(true);
    assert!(sending.agent.log().contains("is back"));
    sending.works();
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn unavailable_by_grpc() {
    fault("grpc", "503", "replaced", "Unavailable: fault 503");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn unavailable_by_http() {
    fault(
        "http",
        "503",
        "replaced",
        "503 Service Unavailable: fault 503",
    );
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn hanging() {
    fault("grpc", "hang", "replaced", "no answer in 1s");
    fault("http", "hang", "replaced", "no answer in 1s");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn closed_half_way() {
    fault("http", "close", "replaced", "");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn refused_for_good() {
    fault(
        "grpc",
        "unauthenticated",
        "refused",
        "Unauthenticated: fault unauthenticated",
    );
    fault("http", "400", "refused", "400 Bad Request: fault 400");
    fault(
        "grpc",
        "exhausted",
        "refused",
        "ResourceExhausted: fault exhausted",
    );
}

/// It says when to come again, and is not asked before.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn asked_to_wait() {
    for transport in ["grpc", "http"] {
        let receiver = Receiver::start(&[]);
        let keys = format!(
            "{}interval = \"1s\"\nsignals = \"metrics\"",
            receiver.keys(transport)
        );
        let sending = Sending::start(&keys);
        sending.wait_up(true);
        receiver.fault("exhausted-retry");
        sending.wait_up(false);
        receiver.forget();
        let times = until(
            || {
                let times = asked(&receiver).into_iter();
                let times: Vec<f64> = times.map(|it| it["time"].as_f64().unwrap()).collect();
                (times.len() >= 2).then_some(times)
            },
            || sending.agent.log(),
        );
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] >= 3.0),
            "{transport}: {times:?}"
        );
        receiver.fault("");
        sending.wait_up(true);
    }
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn taken_in_part() {
    for transport in ["grpc", "http"] {
        let receiver = Receiver::start(&[]);
        receiver.fault("partial");
        let keys = format!(
            "{}interval = \"1s\"\nsignals = \"metrics\"",
            receiver.keys(transport)
        );
        let sending = Sending::start(&keys);
        sending.until(
            "points_dropped_total",
            "signal=\"metrics\",reason=\"rejected\"",
            6.0,
        );
        // It works, and says what it does not like.
        assert!(sending.is_up());
        assert!(
            sending
                .agent
                .log()
                .contains("left 3 out: three of them are strange")
        );
        assert!(sending.count("points_sent_total", "signal=\"metrics\"") > 300.0);
    }
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn not_there_and_then_there() {
    let receiver = Receiver::start(&[]);
    // A port that nobody has, and then a path to the receiver behind it.
    let port = free_port();
    let keys =
        format!("endpoint = \"http://127.0.0.1:{port}\"\ninterval = \"1s\"\ntrace_rounds = 1\n");
    let sending = Sending::start(&keys);
    sending.until(
        "points_dropped_total",
        "signal=\"metrics\",reason=\"replaced\"",
        1000.0,
    );
    assert!(!sending.is_up());
    assert!(sending.agent.log().contains("Connection refused"));
    sending.works();
    let keys = receiver.keys("grpc");
    let target = keys
        .split('"')
        .nth(1)
        .unwrap()
        .trim_start_matches("http://")
        .to_owned();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = std::net::TcpStream::connect(&target) else {
                continue;
            };
            for (mut from, mut to) in [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far, near),
            ] {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    sending.wait_up(true);
    // What waited comes, too: the first message of the log is from before.
    let first = "read every";
    receiver.until("the first messages of the log", |taken| {
        taken["logs"].to_string().contains(first).then_some(())
    });
    receiver.until("spans", |taken| {
        taken["traces"]
            .to_string()
            .contains("collect gpu0")
            .then_some(())
    });
    for signal in ["logs", "traces"] {
        let labels = format!("signal=\"{signal}\",reason=\"overflow\"");
        assert!(sending.count("points_dropped_total", &labels) < 1.0);
    }
}

/// An authority, a server and a client, made by openssl.
struct Certificates(Scratch);

impl Certificates {
    fn new() -> Self {
        let place = Scratch::new("tls");
        std::fs::create_dir(&place.0).unwrap();
        let openssl = |arguments: &str| {
            let done = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(&place.0)
                .output()
                .unwrap();
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";
        for authority in ["ca", "other"] {
            openssl(&format!(
                "req -x509 {key} -keyout {authority}.key -out {authority}.pem -days 2 -subj /CN={authority}"
            ));
        }
        for name in ["server", "client"] {
            openssl(&format!(
                "req -x509 {key} -CA ca.pem -CAkey ca.key -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
            ));
        }
        Self(place)
    }

    fn file(&self, name: &str) -> String {
        self.0.0.join(name).display().to_string()
    }
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn certificates_of_both_sides_are_looked_at() {
    let files = Certificates::new();
    let (certificate, key, ca) = (
        files.file("server.pem"),
        files.file("server.key"),
        files.file("ca.pem"),
    );
    let arguments = [
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--client-ca",
        &ca,
    ];
    let receiver = Receiver::start(&arguments);
    for transport in ["grpc", "http"] {
        let start = |authority: &str, client: bool| {
            let place = receiver.keys_of("https", "localhost", transport);
            let mut keys = format!(
                "{place}interval = \"1s\"\nsignals = \"metrics\"\ncertificate = {:?}\n",
                files.file(authority)
            );
            if client {
                let (certificate, key) = (files.file("client.pem"), files.file("client.key"));
                for (name, file) in [("client_certificate", certificate), ("client_key", key)] {
                    writeln!(keys, "{name} = {file:?}").unwrap();
                }
            }
            Sending::start(&keys)
        };
        let right = start("ca.pem", true);
        right.wait_up(true);
        let wrong = start("other.pem", true);
        wrong.wait_up(false);
        wrong.until(
            "points_dropped_total",
            "signal=\"metrics\",reason=\"replaced\"",
            100.0,
        );
        let log = wrong.agent.log();
        assert!(log.contains("UnknownIssuer"), "{log}");
        wrong.works();
        // The server wants to know who comes.
        let nobody = start("ca.pem", false);
        nobody.wait_up(false);
        nobody.until(
            "points_dropped_total",
            "signal=\"metrics\",reason=\"replaced\"",
            100.0,
        );
        assert!(right.is_up());
    }
}

#[test]
fn what_is_wrong_with_files_stops_the_start() {
    let files = Certificates::new();
    let program = crate::support::agent::program();
    let run = |keys: &[&str]| {
        let done = Command::new(&program)
            .args([
                "run",
                "--otlp-endpoint",
                "https://localhost:1",
                "--otlp-signals",
                "metrics,logs",
            ])
            .args(keys)
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let missing = files.file("missing.pem");
    let (code, said) = run(&["--otlp-certificate", &missing]);
    assert_eq!(code, Some(64), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("otlp.certificate") && said.contains("give certificates in PEM"),
        "{said}"
    );
    let (certificate, key) = (files.file("client.pem"), files.file("server.key"));
    let ca = files.file("ca.pem");
    let (code, said) = run(&[
        "--otlp-certificate",
        &ca,
        "--otlp-client-certificate",
        &certificate,
        "--otlp-client-key",
        &key,
    ]);
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("otlp.client_key") && said.contains("is not of the certificate"),
        "{said}"
    );
}
