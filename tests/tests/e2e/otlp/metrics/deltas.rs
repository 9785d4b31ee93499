//! Deltas, and what is sent at the end.

use super::*;

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
