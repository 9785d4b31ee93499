//! The log: its two forms, the same by OTLP, repetitions, and the level while the agent runs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Sending;
use crate::support::receiver::{Receiver, attributes, items};

const RECORDS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];
const JSON: &str = "party_id = \"0\"\nlog.format = \"json\"\n";

/// Every line is an object with what operators look for; the same arrives by OTLP.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn lines_are_objects_and_arrive_by_otlp() {
    let receiver = Receiver::start(&[]);
    let keys = format!("{}trace_rounds = 1\n", receiver.keys("http"));
    let sending = Sending::with(&keys, JSON, &[]);
    sending.agent.wait_for("accepts logs");
    let log = sending.agent.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut with_trace = 0;
    for line in &lines {
        let text = |name: &str| {
            line[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name}: {line}"))
        };
        let time = text("timestamp");
        assert!(
            time.len() == 27 && time.ends_with('Z') && time.contains('T'),
            "{time}"
        );
        assert!(["INFO", "WARN"].contains(&text("level")));
        assert_eq!((text("node"), text("mpc.party_id")), ("here", "0"));
        assert!(text("target").starts_with("partymeter") && !text("message").is_empty());
        with_trace += usize::from(line["trace_id"].is_string() && line["span_id"].is_string());
    }
    // What happens in a round says in which.
    assert!(with_trace > 0, "{log}");
    let first = log.lines().next().unwrap();
    assert!(first.starts_with("{\"timestamp\":\""), "{first}");
    let security = lines
        .iter()
        .find(|line| line["target"] == "partymeter::security")
        .unwrap();
    assert_eq!(security["security.level"], "info");

    let said: BTreeSet<&str> = lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    let arrived = receiver.until("every message", |taken| {
        let records = items(&taken["logs"], &RECORDS);
        let arrived: BTreeSet<&str> = records
            .iter()
            .filter_map(|it| it["body"]["stringValue"].as_str())
            .collect();
        said.is_subset(&arrived).then(|| taken.clone())
    });
    let records = items(&arrived["logs"], &RECORDS);
    for line in &lines {
        let record = records
            .iter()
            .find(|it| it["body"]["stringValue"] == line["message"])
            .unwrap();
        assert_eq!(record["severityText"], line["level"]);
        let attributes = attributes(record);
        assert_eq!(
            attributes["partymeter.log.target"],
            line["target"].as_str().unwrap()
        );
        assert_eq!(
            record["traceId"].is_null(),
            line["trace_id"].is_null(),
            "{record}"
        );
        if line["security.level"].is_string() {
            assert_eq!(
                attributes["security.level"],
                line["security.level"].as_str().unwrap()
            );
        }
    }
    let resource = attributes(&items(&arrived["logs"], &RECORDS[..1])[0]["resource"]);
    assert_eq!(
        (
            resource["host.name"].as_str(),
            resource["mpc.party_id"].as_str()
        ),
        ("here", "0")
    );
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn the_level_changes_while_the_agent_runs() {
    let receiver = Receiver::start(&[]);
    let sending = Sending::with(&receiver.keys("grpc"), "log.level = \"warn\"\n", &[]);
    let agent = &sending.agent;
    let level = |arguments: &[&str]| {
        let output = agent.administer(&[&["log-level"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // What is about security is shown at every level.
    let ordinary = |log: &str| {
        let mut lines = log.lines();
        lines.any(|line| line.contains("INFO") && !line.contains("security.level="))
    };
    assert_eq!(level(&[]), "warn\n");
    assert!(!ordinary(&agent.log()), "{}", agent.log());
    assert_eq!(level(&["off"]), "off\n");
    // By OTLP, too.
    receiver.until("what is about security", |taken| {
        let records = items(&taken["logs"], &RECORDS);
        let mut bodies = records
            .iter()
            .filter_map(|it| it["body"]["stringValue"].as_str());
        bodies
            .any(|body| body.starts_with("log.level changes from warn to off: requested by user "))
            .then_some(())
    });
    let before = agent.log().len();
    agent.signal(libc::SIGHUP);
    // As the file has it.
    agent.wait_for("log.level changes from off to warn: the configuration was reloaded");
    assert_eq!(level(&[]), "warn\n");
    assert!(!ordinary(&agent.log()[before..]), "{}", agent.log());
}

/// A message that comes again and again is shown once, and then counted.
#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn repetitions_are_counted() {
    let receiver = Receiver::start(&[]);
    receiver.fault("partial");
    let keys = format!(
        "{}interval = \"1s\"\nsignals = \"metrics\"\n",
        receiver.keys("http")
    );
    let sending = Sending::start(&keys);
    sending
        .agent
        .wait_for("times more in 10 s: the OTLP receiver");
    let log = sending.agent.log();
    let (before, _) = log.split_once("times more").unwrap();
    assert_eq!(before.matches("rejected 3 items").count(), 1, "{log}");
    let counted = log
        .lines()
        .find(|line| line.contains("times more"))
        .unwrap();
    assert!(counted.contains("repeated="), "{counted}");
}
