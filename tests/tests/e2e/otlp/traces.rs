//! The agent's own rounds as traces.

use std::collections::{BTreeMap, BTreeSet};

use partymeter_fake_nvml::{Rule, Scenario, models::Model};
use serde_json::Value;

use super::Sending;
use crate::support::receiver::{Receiver, attributes, items, number};

pub(super) const SPANS: [&str; 3] = ["resourceSpans", "scopeSpans", "spans"];

/// Spans by trace.
fn traces(taken: &Value) -> BTreeMap<String, Vec<Value>> {
    let mut traces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for span in items(&taken["traces"], &SPANS) {
        let trace = span["traceId"].as_str().unwrap().to_owned();
        traces.entry(trace).or_default().push(span.clone());
    }
    traces
}

/// Every trace has one root, and every other span is under it and within it.
fn check(trace: &[Value]) -> BTreeSet<String> {
    let (roots, others): (Vec<&Value>, Vec<&Value>) = trace
        .iter()
        .partition(|span| span["parentSpanId"].as_str().unwrap_or_default().is_empty());
    let [root] = roots[..] else {
        panic!("{trace:?}")
    };
    assert_eq!(root["name"], "collection round");
    let mut ids = BTreeSet::new();
    for span in &others {
        assert_eq!(span["parentSpanId"], root["spanId"]);
        assert!(ids.insert(span["spanId"].as_str().unwrap()));
        let (start, end) = (
            number(&span["startTimeUnixNano"]),
            number(&span["endTimeUnixNano"]),
        );
        assert!(start <= end && start >= number(&root["startTimeUnixNano"]));
        let source = &attributes(span)["partymeter.source"];
        assert_eq!(span["name"], format!("collect {source}"));
    }
    others
        .iter()
        .map(|span| span["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn a_round_has_a_span_for_each_source_and_gpu() {
    let receiver = Receiver::start(&[]);
    let keys = format!(
        "{}trace_rounds = 5\nsignals = [\"traces\"]\n",
        receiver.keys("grpc")
    );
    let _sending = Sending::start(&keys);
    let taken = receiver.until("some rounds", |taken| {
        (traces(taken).len() >= 6).then(|| taken.clone())
    });
    let sampled: Vec<Vec<Value>> = traces(&taken).into_values().collect();
    let mut numbers = BTreeSet::new();
    for trace in &sampled {
        let names = check(trace);
        let root = trace
            .iter()
            .find(|span| span["name"] == "collection round")
            .unwrap();
        let number: u64 = attributes(root)["partymeter.round"].parse().unwrap();
        numbers.insert(number);
        if number.is_multiple_of(5) && number > 0 && number < *numbers.last().unwrap() {
            for name in [
                "collect gpu",
                "collect gpu0",
                "collect gpu1",
                "collect host",
            ] {
                assert!(names.contains(name), "{names:?}");
            }
        }
    }
    // Others only where something was slow.
    let regular = numbers
        .iter()
        .filter(|number| number.is_multiple_of(5))
        .count();
    assert!(regular >= 4, "{numbers:?}");
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn a_round_that_fails_is_always_there_with_the_reason() {
    let receiver = Receiver::start(&[]);
    let mut scenario = Scenario::of(Model::A100, 2);
    scenario.rules.push(Rule {
        function: "nvmlDeviceGetUtilizationRates".to_owned(),
        gpu: Some(1),
        code: 15,
        ..Rule::default()
    });
    let keys = format!(
        "{}trace_rounds = 0\nsignals = [\"traces\"]\n",
        receiver.keys("http")
    );
    let _sending = Sending::of(&scenario, &keys, "", &[]);
    let trace = receiver.until("a round that failed", |taken| {
        let failed = |trace: &Vec<Value>| {
            trace
                .iter()
                .any(|span| span["status"]["code"] == "STATUS_CODE_ERROR")
        };
        traces(taken).into_values().find(failed)
    });
    check(&trace);
    let failed = trace
        .iter()
        .find(|span| span["status"]["code"] == "STATUS_CODE_ERROR")
        .unwrap();
    assert_eq!(failed["name"], "collect gpu1");
    assert_eq!(attributes(failed)["error.type"], "lost");
    assert!(
        failed["status"]["message"]
            .as_str()
            .unwrap()
            .contains("nvmlDeviceGetUtilizationRates"),
        "{failed}"
    );
}
