//! MPC connections as spans.

use std::{
    io::{Read as _, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use socket2::SockRef;

use super::traces::SPANS;
use crate::support::{
    Agent, Lab,
    receiver::{Receiver, attributes, items, number},
    until_true,
};

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64() * 1e9
}

/// Those of one party.
fn spans<'t>(taken: &'t Value, party: &str) -> Vec<&'t Value> {
    let all = items(&taken["traces"], &SPANS).into_iter();
    let of_party = |it: &&Value| {
        attributes(it)
            .get("mpc.peer.party_id")
            .is_some_and(|id| id == party)
    };
    all.filter(of_party).collect()
}

fn config(lab: &Lab, receiver: &Receiver) -> String {
    format!(
        "{}\n[otlp]\n{}signals = [\"traces\"]\ntrace_rounds = 0\nconnection_spans = true\n",
        lab.config(),
        receiver.keys("grpc")
    )
}

/// One connection that ends in order, one that is older than the agent, and one that is reset.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn every_connection_that_ends_is_a_span() {
    let receiver = Receiver::start(&[]);
    let lab = Lab::new();
    let (mut older, mut older_b) = lab.connection();
    older.write_all(&[1; 5000]).unwrap();
    older_b.read_exact(&mut [0; 5000]).unwrap();
    let agent = Agent::start(&config(&lab, &receiver));

    let before = now();
    let (mut a, mut b) = lab.connection();
    for _ in 0..10 {
        a.write_all(&[2; 1000]).unwrap();
        b.read_exact(&mut [0; 1000]).unwrap();
        b.write_all(&[3; 30]).unwrap();
        a.read_exact(&mut [0; 30]).unwrap();
    }
    let established = now();
    agent.after_rounds(1);
    let held = now() - established;
    drop((a, b));
    let after = now();
    let of = |party: &'static str, reason: &'static str| {
        receiver.until(reason, |taken| {
            let found = spans(taken, party)
                .into_iter()
                .find(|it| attributes(it)["partymeter.reason"] == reason);
            found.cloned()
        })
    };
    for (party, role, transmit, receive) in [
        ("b", "initiator", 10_000, 300),
        ("a", "acceptor", 300, 10_000),
    ] {
        let span = of(party, "fin");
        let attributes = attributes(&span);
        let text = |name: &str| attributes[name].as_str();
        assert_eq!(span["name"], "mpc test");
        assert_eq!(
            (text("mpc.protocol"), text("mpc.role")),
            ("test", role),
            "{span}"
        );
        assert_eq!(text("partymeter.connection.transmit"), transmit.to_string());
        assert_eq!(text("partymeter.connection.receive"), receive.to_string());
        assert_eq!(text("partymeter.connection.retransmit"), "0");
        assert_eq!(text("partymeter.connection.adopted"), "false");
        let rtt: f64 = text("partymeter.connection.rtt").parse().unwrap();
        assert!((1e-6..1.0).contains(&rtt), "{rtt}");
        let (start, end) = (
            number(&span["startTimeUnixNano"]),
            number(&span["endTimeUnixNano"]),
        );
        // The two clocks are read one after the other.
        assert!(
            start > before - 5e6 && end < after + 5e6 && end - start > held - 5e6,
            "{span}"
        );
        assert!(span["status"]["code"].is_null(), "{span}");
        assert!(!span.to_string().contains("10.71."), "an address: {span}");
    }

    older_b.write_all(&[4; 70]).unwrap();
    older.read_exact(&mut [0; 70]).unwrap();
    SockRef::from(&older)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(older);
    let span = of("b", "reset");
    let attributes = attributes(&span);
    assert_eq!(attributes["partymeter.connection.adopted"], "true");
    assert_eq!(attributes["partymeter.connection.transmit"], "0");
    assert_eq!(attributes["partymeter.connection.receive"], "70");
    assert_eq!(span["status"]["code"], "STATUS_CODE_ERROR");
    assert_eq!(attributes["error.type"], "reset");
    drop((older_b, agent));
}

/// More than are sent: what is not is counted.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn a_flood_of_connections_is_limited_and_the_rest_counted() {
    const CONNECTIONS: u16 = 4000;
    let receiver = Receiver::start(&[]);
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab, &receiver));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    for _ in 0..CONNECTIONS {
        let a = lab.connect_to(address);
        drop((a, listener.accept().unwrap()));
    }
    let count = |what: &str| {
        let all = ["", ",reason=\"overflow\""].into_iter();
        let series = all.filter_map(|label| {
            agent.series(&format!(
                "partymeter_otlp_{what}{{signal=\"traces\"{label}}}"
            ))
        });
        series.sum::<f64>()
    };
    let now = || (count("points_sent_total"), count("points_dropped_total"));
    until_true(
        || now().0 + now().1 >= 2.0 * f64::from(CONNECTIONS),
        || format!("{:?} sent and dropped", now()),
    );
    let (sent, dropped) = now();
    assert!(
        dropped > 0.0 && sent >= 1000.0,
        "{sent} sent, {dropped} dropped"
    );
    let lost = agent.series("partymeter_bpf_dropped_total{reason=\"connection_records\"}");
    assert_eq!(lost, Some(0.0));
}
