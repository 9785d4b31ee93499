//! Each metric arrives with the value that the page has.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::Sending;
use crate::support::{
    Agent, Lab,
    agent::{Scratch, free_port, program},
    receiver::{Receiver, attributes, items, number, python},
    until_true,
};

const METRICS: [&str; 3] = ["resourceMetrics", "scopeMetrics", "metrics"];

/// The last message of metrics.
fn last(taken: &Value) -> Option<Value> {
    Some(Value::Array(vec![
        taken["metrics"].as_array()?.last()?.clone(),
    ]))
}

/// A metric's points, and what is said of all of them.
fn points(metric: &Value) -> (&'static str, &Value, &[Value]) {
    for kind in ["gauge", "sum", "histogram", "exponentialHistogram"] {
        let data = &metric[kind];
        if let Some(points) = data["dataPoints"].as_array() {
            return (kind, data, points);
        }
    }
    panic!("no points: {metric}");
}

fn value(point: &Value) -> f64 {
    number(if point["asInt"].is_null() {
        &point["asDouble"]
    } else {
        &point["asInt"]
    })
}

/// Series of the page by metric: values alone, of histograms those of `_sum`.
fn series(page: &str) -> BTreeMap<String, Vec<f64>> {
    let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, _) = key.split_once('{').unwrap_or((key, ""));
        if let Ok(value) = value.parse() {
            series.entry(name.to_owned()).or_default().push(value);
        }
    }
    series
}

/// The catalog as the program prints it.
fn catalog() -> Vec<Value> {
    let printed = Command::new(program())
        .args(["metrics", "--format", "json"])
        .output()
        .unwrap();
    serde_json::from_slice(&printed.stdout).unwrap()
}

/// What is never the same in two looks.
fn moves(name: &str) -> bool {
    let moving = [
        "process_",
        "partymeter_source_",
        "partymeter_snapshot_",
        "partymeter_otlp_",
        "memory_usage",
    ];
    moving.iter().any(|start| name.starts_with(start))
}

#[expect(
    clippy::too_many_lines,
    reason = "one look at one message, point by point"
)]
fn arrives_as_on_the_page(transport: &str, keys: &str, compressed: bool) {
    let receiver = Receiver::start(&[]);
    let keys = format!(
        "{}{keys}interval = \"1s\"\nheaders = \"x-key=a%20b\"",
        receiver.keys(transport)
    );
    let sending = Sending::with(
        &keys,
        "party_id = \"0\"",
        &[
            "NODE_NAME=node-7",
            "OTEL_RESOURCE_ATTRIBUTES=k8s.cluster.name=prod",
        ],
    );
    // Counters of unknown age have a length from the second message on.
    let messages = receiver.until("three messages of metrics", |taken| {
        (taken["metrics"].as_array()?.len() >= 3).then(|| taken.clone())
    });
    let page = sending.agent.get("/metrics");
    let series = series(&page);

    let last = last(&messages).unwrap();
    let resource = attributes(&items(&last, &METRICS[..1])[0]["resource"]);
    let said = |name: &str| resource.get(name).map(String::as_str);
    assert_eq!(
        (said("service.name"), said("host.name")),
        (Some("partymeter"), Some("here"))
    );
    assert_eq!(
        (said("k8s.node.name"), said("k8s.cluster.name")),
        (Some("node-7"), Some("prod"))
    );
    assert_eq!(said("mpc.party_id"), Some("0"));
    assert_eq!(said("service.version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(said("service.instance.id").map(str::len), Some(36));

    let metrics: BTreeMap<&str, &Value> = items(&last, &METRICS)
        .into_iter()
        .map(|metric| (metric["name"].as_str().unwrap(), metric))
        .collect();
    let mut compared = 0;
    for metric in catalog() {
        let name = metric["name"].as_str().unwrap();
        let kind = metric["kind"].as_str().unwrap();
        let on_page = if kind == "histogram" {
            format!("{name}_sum")
        } else {
            name.to_owned()
        };
        let Some(wanted) = series.get(&on_page) else {
            continue;
        };
        for form in metric["opentelemetry"].as_array().unwrap() {
            let form_name = form["name"].as_str().unwrap();
            let sent = metrics
                .get(form_name)
                .unwrap_or_else(|| panic!("{form_name} did not arrive"));
            // What has none is not there.
            let unit = sent["unit"].as_str().unwrap_or("");
            assert_eq!(form["unit"], unit, "{form_name}");
            let (kind, data, points) = points(sent);
            let (wanted_kind, monotonic) = match form["instrument"].as_str().unwrap() {
                "counter" => ("sum", true),
                "updowncounter" => ("sum", false),
                other => (other, false),
            };
            assert_eq!(kind, wanted_kind, "{form_name}");
            assert_eq!(
                data["isMonotonic"].as_bool().unwrap_or(false),
                monotonic,
                "{form_name}"
            );
            if kind != "gauge" {
                assert_eq!(
                    data["aggregationTemporality"],
                    "AGGREGATION_TEMPORALITY_CUMULATIVE"
                );
            }
            for point in points {
                let (start, end) = (
                    number(&point["startTimeUnixNano"]),
                    number(&point["timeUnixNano"]),
                );
                assert!(end > 1.7e18, "{form_name}");
                assert!(
                    kind == "gauge" || start > 1.7e18 && start < end,
                    "{form_name}: {point}"
                );
                if kind == "histogram" {
                    let counts = point["bucketCounts"].as_array().unwrap();
                    let bounds = point["explicitBounds"].as_array().unwrap();
                    assert_eq!(counts.len(), bounds.len() + 1);
                    let counted: f64 = counts.iter().map(number).sum();
                    assert!((counted - number(&point["count"])).abs() < 0.5);
                }
            }
            // Values are compared as a whole where nothing else is in the same metric.
            let alone = metric["opentelemetry"].as_array().unwrap().len() == 1
                && !["hw.errors", "hw.gpu.utilization"].contains(&form_name);
            if moves(name) || !alone || kind == "histogram" {
                continue;
            }
            let scale = if metric["unit"] == "%" { 100.0 } else { 1.0 };
            let mut sent: Vec<f64> = points.iter().map(|point| value(point) * scale).collect();
            let mut wanted = wanted.clone();
            sent.sort_by(f64::total_cmp);
            wanted.sort_by(f64::total_cmp);
            assert_eq!(sent.len(), wanted.len(), "{name}");
            for (sent, wanted) in sent.iter().zip(&wanted) {
                assert!(
                    (sent - wanted).abs() <= 1e-9 * wanted.abs(),
                    "{name}: {sent} is not {wanted}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 250, "only {compared} values were compared");

    // One by one, where names are those of the semantic conventions.
    let find = |name: &str, wanted: &[(&str, &str)]| -> f64 {
        let (_, _, points) = points(metrics[name]);
        let found: Vec<_> = points
            .iter()
            .filter(|point| {
                let attributes = attributes(point);
                wanted
                    .iter()
                    .all(|(key, value)| attributes.get(*key).is_some_and(|it| it == value))
            })
            .collect();
        let [point] = found[..] else {
            panic!("{name} {wanted:?}: {found:?}")
        };
        value(point)
    };
    let on_page = |series: &str| sending.agent.series(series).unwrap();
    for gpu in ["0", "1"] {
        let name = format!("gpu{gpu}");
        let of = [
            ("hw.name", name.as_str()),
            ("hw.type", "gpu"),
            ("hw.vendor", "NVIDIA"),
        ];
        let with = |more: (&'static str, &'static str)| [&of[..], &[more]].concat();
        let utilization = find("hw.gpu.utilization", &with(("hw.gpu.task", "general")));
        let shown = on_page(&format!(
            "gpu_utilization_percent{{gpu_id=\"{gpu}\",node=\"here\"}}"
        ));
        assert!((utilization - shown / 100.0).abs() < 1e-12);
        let (ok, failed) = (
            find("hw.status", &with(("hw.state", "ok"))),
            find("hw.status", &with(("hw.state", "failed"))),
        );
        assert!((ok - 1.0).abs() < 1e-12 && failed.abs() < 1e-12);
        let transmit = find("hw.gpu.io", &with(("network.io.direction", "transmit")));
        let shown = on_page(&format!(
            "gpu_pcie_bytes_total{{gpu_id=\"{gpu}\",direction=\"transmit\"}}"
        ));
        assert!((transmit - shown).abs() < 0.5);
        let uuid = attributes(&points(metrics["hw.power"]).2[0])["hw.id"].clone();
        assert!(page.contains(&format!("gpu_uuid=\"{uuid}\"")), "{uuid}");
    }

    let requests = messages["requests"].as_array().unwrap();
    let request = requests
        .iter()
        .find(|request| request["signal"] == "metrics")
        .unwrap();
    assert_eq!(request["transport"], transport);
    assert_eq!(request["headers"]["x-key"], "a b");
    assert!(
        request["headers"]["user-agent"]
            .as_str()
            .unwrap()
            .starts_with("partymeter/")
    );
    let encoding = if transport == "grpc" {
        "grpc-encoding"
    } else {
        "content-encoding"
    };
    if transport == "http" {
        assert_eq!(request["headers"][encoding] == "gzip", compressed);
    }
    assert!(sending.count("points_sent_total", "signal=\"metrics\"") > 1000.0);
    assert!((sending.count("up", "signal=\"metrics\"") - 1.0).abs() < f64::EPSILON);
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn arrives_by_grpc_as_on_the_page() {
    arrives_as_on_the_page("grpc", "", true);
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn arrives_by_http_as_on_the_page() {
    arrives_as_on_the_page("http", "", true);
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn arrives_uncompressed_as_on_the_page() {
    arrives_as_on_the_page("http", "compression = \"none\"\n", false);
    arrives_as_on_the_page("grpc", "compression = \"none\"\n", false);
}

/// Bytes between parties: as differences they add up to the page's.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn differences_add_up_to_what_the_page_has() {
    let receiver = Receiver::start(&[]);
    let lab = Lab::new();
    let keys = receiver.keys("grpc");
    let config = format!(
        "{}\n[otlp]\n{keys}interval = \"1s\"\ntemporality = \"delta\"\nhistograms = \"exponential\"\n",
        lab.config()
    );
    let agent = Agent::start(&config);
    let (a, b) = lab.connection();
    for round in 1..=6 {
        if round == 3 {
            // What is refused meanwhile is in the next.
            receiver.fault("503");
        }
        if round == 5 {
            receiver.fault("");
        }
        (&a).write_all(&vec![1; 10_000 * round]).unwrap();
        (&b).read_exact(&mut vec![0; 10_000 * round]).unwrap();
        agent.after_rounds(4);
    }
    let total = 210_000_u32;
    agent.expect_moved(total.into(), 0);
    let transmitted = |taken: &Value| -> f64 {
        let metrics = items(&taken["metrics"], &METRICS);
        let io = metrics
            .into_iter()
            .filter(|metric| metric["name"] == "system.network.io");
        let mut sum = 0.0;
        for metric in io {
            let (_, data, points) = points(metric);
            assert_eq!(
                data["aggregationTemporality"],
                "AGGREGATION_TEMPORALITY_DELTA"
            );
            let transmit = points.iter().filter(|point| {
                let attributes = attributes(point);
                attributes["network.io.direction"] == "transmit"
                    && attributes["mpc.peer.party_id"] == "b"
            });
            sum += transmit.map(value).sum::<f64>();
        }
        sum
    };
    receiver.until("all bytes", |taken| {
        ((transmitted(taken) - f64::from(total)).abs() < 0.5).then_some(())
    });
    // And no more than that later.
    let messages = |taken: &Value| taken["metrics"].as_array().unwrap().len();
    let more = messages(&receiver.taken()) + 2;
    receiver.until("two more messages", |taken| {
        (messages(taken) >= more).then_some(())
    });
    let taken = receiver.taken();
    assert!(
        (transmitted(&taken) - f64::from(total)).abs() < 0.5,
        "{}",
        transmitted(&taken)
    );
    // Round-trip times in buckets of equal ratio.
    let metrics = items(&taken["metrics"], &METRICS);
    let latency = metrics
        .into_iter()
        .filter(|metric| metric["name"] == "partymeter.mpc.network.latency");
    let mut samples = 0.0;
    for metric in latency {
        let (kind, _, points) = points(metric);
        assert_eq!(kind, "exponentialHistogram");
        for point in points {
            let positive = point["positive"]["bucketCounts"]
                .as_array()
                .into_iter()
                .flatten();
            let counted: f64 = positive.map(number).sum();
            assert!((counted + number(&point["zeroCount"]) - number(&point["count"])).abs() < 0.5);
            samples += counted;
        }
    }
    assert!(samples > 0.0);
    drop((a, b));
}

/// What a stop leaves behind is complete.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn the_last_bytes_are_sent_when_the_agent_ends() {
    let receiver = Receiver::start(&[]);
    let lab = Lab::new();
    let keys = receiver.keys("http");
    let config = format!("{}\n[otlp]\n{keys}interval = \"1h\"\n", lab.config());
    let agent = Agent::start(&config);
    receiver.until("the first message", |taken| {
        taken["metrics"].as_array()?.last().map(drop)
    });
    let (a, b) = lab.connection();
    (&a).write_all(&vec![1; 77_777]).unwrap();
    (&b).read_exact(&mut vec![0; 77_777]).unwrap();
    agent.expect_moved(77_777, 0);
    let began = Instant::now();
    assert!(agent.stop().0.success());
    assert!(began.elapsed() < Duration::from_secs(20));
    let taken = receiver.taken();
    let last = last(&taken).unwrap();
    let metrics = items(&last, &METRICS);
    let io = metrics
        .into_iter()
        .find(|metric| metric["name"] == "system.network.io")
        .unwrap();
    let of_b = |point: &&Value| {
        let attributes = attributes(point);
        attributes["network.io.direction"] == "transmit" && attributes["mpc.peer.party_id"] == "b"
    };
    let sent: f64 = points(io).2.iter().filter(of_b).map(value).sum();
    assert!((sent - 77_777.0).abs() < 0.5, "{sent}");
    let records = items(&taken["logs"], &["resourceLogs", "scopeLogs", "logRecords"]);
    let said = |text: &str| {
        records
            .iter()
            .any(|record| record["body"]["stringValue"] == text)
    };
    assert!(said("SIGTERM: stopping"));
}

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
