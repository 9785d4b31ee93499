//! A receiver that misbehaves, for each signal: what is counted and logged, what is lost, and that all is well again
//! afterwards. Points are never kept: newer ones take their place. Spans and log records wait and come later.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::Sending;
use crate::support::{agent::free_port, receiver::Receiver, until, until_true};

const SIGNALS: [&str; 3] = ["metrics", "logs", "traces"];
const TRANSPORTS: [&str; 2] = ["grpc", "http"];

impl Sending {
    /// Waits until a counter is at least that.
    pub(super) fn until(&self, counter: &str, labels: &str, least: f64) {
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

    pub(super) fn is_up(&self, signal: &str) -> bool {
        let series = format!("partymeter_otlp_up{{signal=\"{signal}\"}}");
        self.agent.series(&series) == Some(1.0)
    }

    pub(super) fn wait_up(&self, signal: &str, up: bool) {
        until_true(
            || self.is_up(signal) == up,
            || format!("up is not {up}\n{}", self.agent.log()),
        );
    }

    /// The sources are read as ever.
    pub(super) fn works(&self) {
        self.agent.after_rounds_of("gpu0", 2);
        let page = self.agent.get("/metrics");
        assert!(page.contains("gpu_up{gpu_id=\"0\"} 1"), "{page}");
    }
}

/// One signal on its way to a receiver that can be made to misbehave.
struct Case {
    signal: &'static str,
    receiver: Receiver,
    sending: Sending,
    stirred: Cell<(Instant, bool)>,
}

impl Case {
    /// Starts with such a fault.
    fn start(signal: &'static str, transport: &str, fault: &str) -> Self {
        let receiver = Receiver::start(&[]);
        receiver.fault(fault);
        let keys = format!(
            "{}interval = \"1s\"\ntimeout = \"1s\"\nsignals = \"{signal}\"\ntrace_rounds = 1",
            receiver.keys(transport)
        );
        Self {
            signal,
            receiver,
            sending: Sending::start(&keys),
            stirred: Cell::new((Instant::now(), true)),
        }
    }

    /// Waits for something while there is always more to send: points and spans come by themselves, messages of the
    /// log do not.
    fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let stir = || {
            let (last, debug) = self.stirred.get();
            if self.signal == "logs" && last.elapsed() > Duration::from_millis(500) {
                let level = if debug { "debug" } else { "info" };
                self.sending.agent.administer(&["log-level", level]);
                self.stirred.set((Instant::now(), !debug));
            }
        };
        until(
            || {
                stir();
                look()
            },
            || format!("{}: no {what}\n{}", self.signal, self.sending.agent.log()),
        )
    }

    fn wait_up(&self, up: bool) {
        let what = if up { "way up" } else { "way down" };
        self.until(what, || {
            (self.sending.is_up(self.signal) == up).then_some(())
        });
    }

    /// Requests of this signal, accepted or not.
    fn requests(&self) -> Vec<Value> {
        let taken = self.receiver.taken();
        let requests = taken["requests"].as_array().unwrap().iter();
        let ours = requests.filter(|request| request["signal"] == self.signal);
        ours.cloned().collect()
    }

    fn wait_for_requests(&self, count: usize) -> Vec<Value> {
        self.until("more requests", || {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
    }

    fn dropped(&self, reason: &str) -> f64 {
        let labels = format!("signal=\"{}\",reason=\"{reason}\"", self.signal);
        self.sending.count("points_dropped_total", &labels)
    }
}

/// For each signal: how the fault shows, what it costs, and that the receiver takes what comes afterwards.
fn fault(transport: &str, fault: &str, refused: bool, reason: &str) {
    for signal in SIGNALS {
        let case = Case::start(signal, transport, "");
        let log = || case.sending.agent.log();
        case.wait_up(true);
        case.receiver.fault(fault);
        case.wait_up(false);
        case.wait_for_requests(case.requests().len() + 2);
        case.sending.works();
        let down: Vec<String> = log()
            .lines()
            .filter(|line| line.contains("; retrying") || line.contains("; not retrying"))
            .map(str::to_owned)
            .collect();
        assert_eq!(down.len(), 1, "logged once: {}", log());
        assert!(down[0].contains(reason), "{}", down[0]);
        case.receiver.fault("");
        case.wait_up(true);
        case.until("recovery in the log", || {
            log().contains("again").then_some(())
        });
        let lost = |reason| case.dropped(reason) > 0.0;
        assert_eq!(lost("refused"), refused, "{signal}");
        assert_eq!(
            lost("replaced"),
            !refused && signal == "metrics",
            "{signal}"
        );
        assert!(
            !lost("rejected") && !lost("overflow") && !lost("shutdown"),
            "{signal}"
        );
        case.sending.works();
    }
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn unavailable_by_grpc() {
    fault("grpc", "503", false, "Unavailable: fault 503");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn unavailable_by_http() {
    fault("http", "503", false, "503 Service Unavailable: fault 503");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn hanging_by_grpc() {
    fault("grpc", "hang", false, "no response for 1s");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn hanging_by_http() {
    fault("http", "hang", false, "no response for 1s");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn closed_half_way() {
    fault("http", "close", false, "");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn unauthenticated() {
    let reason = "Unauthenticated: fault unauthenticated";
    fault("grpc", "unauthenticated", true, reason);
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn invalid() {
    fault("http", "400", true, "400 Bad Request: fault 400");
}

/// Without a word of when to come again it is for good.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn exhausted() {
    fault(
        "grpc",
        "exhausted",
        true,
        "ResourceExhausted: fault exhausted",
    );
}

/// It says when to come again, and is not asked before.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn asked_to_wait() {
    for (signal, transport) in every_way() {
        let case = Case::start(signal, transport, "");
        case.wait_up(true);
        case.receiver.fault("exhausted-retry");
        case.wait_up(false);
        case.receiver.forget();
        let requests = case.wait_for_requests(2).into_iter();
        let times: Vec<f64> = requests.map(|it| it["time"].as_f64().unwrap()).collect();
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] >= 3.0),
            "{signal} by {transport}: {times:?}"
        );
        case.receiver.fault("");
        case.wait_up(true);
    }
}

/// Partial success counts what was rejected, and repeats the receiver's reason. It is no failure.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn taken_in_part() {
    for (signal, transport) in every_way() {
        let case = Case::start(signal, transport, "partial");
        case.until("second time", || {
            (case.dropped("rejected") >= 6.0).then_some(())
        });
        assert!(case.sending.is_up(signal));
        let log = case.sending.agent.log();
        let reason = format!("rejected 3 items of {signal}: three of them are strange");
        assert!(log.contains(&reason), "{log}");
        // Of every request three are rejected, and of a few there were no more.
        let sent = case
            .sending
            .count("points_sent_total", &format!("signal=\"{signal}\""));
        assert!(sent > 0.0, "{signal} by {transport}");
    }
}

/// OpenTelemetry's exporters of spans and log records read these variables themselves. Nothing is compressed or sent
/// twice, and the configuration file wins.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn the_environment_counts_once() {
    for (signal, transport) in every_way() {
        let receiver = Receiver::start(&[]);
        let keys = format!(
            "{}signals = \"{signal}\"\ntrace_rounds = 1",
            receiver.keys(transport)
        );
        let variables = [
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20b",
            "OTEL_EXPORTER_OTLP_TIMEOUT=5000",
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
            "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
        ];
        let sending = Sending::with(&keys, "", &variables);
        // What was compressed twice would not be decoded.
        let request = receiver.until("request", |taken| {
            let mut requests = taken["requests"].as_array()?.iter();
            requests.find(|it| it["signal"] == signal).cloned()
        });
        assert_eq!(request["transport"], transport);
        let headers = &request["headers"];
        assert_eq!(headers["x-key"], "a b", "{headers}");
        let agent = headers["user-agent"].as_str().unwrap();
        assert!(agent.starts_with("partymeter/"), "{headers}");
        if transport == "http" {
            assert_eq!(headers["content-encoding"], "gzip", "{headers}");
        }
        sending.wait_up(signal, true);
    }
}

fn every_way() -> impl Iterator<Item = (&'static str, &'static str)> {
    SIGNALS
        .into_iter()
        .flat_map(|signal| TRANSPORTS.map(|transport| (signal, transport)))
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
    assert!(!sending.is_up("metrics"));
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
    sending.wait_up("metrics", true);
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
