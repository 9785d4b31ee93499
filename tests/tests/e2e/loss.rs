//! Lines that lose: each byte still counts once.

use std::{
    io::{Read as _, Write as _},
    thread,
};

use crate::support::{Agent, Lab, diag};

const AMOUNT: u64 = 15_000_000;

/// Sends A to B and compares, while the connection is open and once it is closed; returns INET_DIAG's figures.
fn send_and_compare(lab: &Lab) -> diag::Sums {
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    let amount = usize::try_from(AMOUNT).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (&a).write_all(&vec![1; amount]).unwrap());
        (&b).read_exact(&mut vec![0; amount]).unwrap();
    });
    agent.expect_moved(AMOUNT, 0);
    let kernel = diag::sums(&lab.a);
    assert!(kernel.retransmitted > 0, "nothing was lost");
    assert_eq!(diag::sums(&lab.b).received, AMOUNT);
    let series = "network_retransmitted_bytes_total{party_id=\"b\",protocol=\"test\"}";
    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    let retransmitted = kernel.retransmitted as f64;
    assert_eq!(agent.series(series), Some(retransmitted), "retransmitted");
    drop((a, b));
    agent.expect_moved(AMOUNT, 0);
    kernel
}

/// The queue is on the sender's own device: the kernel refuses some segments before they leave and sends them
/// again, which `bytes_sent - bytes_retrans` takes for new. The page must not.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn at_the_senders_own_queue() {
    let lab = Lab::new();
    lab.a
        .run("tc qdisc replace dev eth root tbf rate 200mbit burst 20kb limit 30kb");
    let kernel = send_and_compare(&lab);
    let twice = kernel.sent - kernel.retransmitted - AMOUNT;
    assert!(twice > 0, "no segment was refused: {kernel:?}");
}

/// The queue is a router's: segments are lost on the way, and others arrive before them.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn on_the_way() {
    let lab = Lab::routed();
    lab.router()
        .run("tc qdisc replace dev to-b root tbf rate 200mbit burst 20kb limit 30kb");
    let kernel = send_and_compare(&lab);
    assert_eq!(kernel.sent - kernel.retransmitted, AMOUNT, "INET_DIAG");
}
