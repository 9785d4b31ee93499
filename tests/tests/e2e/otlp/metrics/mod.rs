//! Each metric arrives with the value that the page has.

mod deltas;
mod stores;

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
