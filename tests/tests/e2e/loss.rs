//! Lines that lose: each byte still counts once.

use std::{
    io::{Read as _, Write as _},
    thread,
};

use crate::support::{Agent, Lab, diag, needs_root};

const AMOUNT: u64 = 15_000_000;

/// Sends A to B over a queue of A's that drops, and compares; returns INET_DIAG's figures of A.
fn over(queue: &str, offload: &str) -> diag::Sums {
    let lab = Lab::new();
    lab.a.run(&format!("tc qdisc replace dev eth root {queue}"));
    lab.a.run(&format!("ip link set eth {offload}"));
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&a).write_all(&vec![1; usize::try_from(AMOUNT).unwrap()])
                .unwrap()
        });
        (&b).read_exact(&mut vec![0; usize::try_from(AMOUNT).unwrap()])
            .unwrap();
    });
    agent.expect_moved(AMOUNT, 0);
    let kernel = diag::sums(&lab.a);
    assert_eq!(diag::sums(&lab.b).received, AMOUNT);
    let series = "network_retransmitted_bytes_total{party_id=\"b\",protocol=\"test\"}";
    let counted = agent.series(series);
    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    let expected = Some(kernel.retransmitted as f64);
    assert_eq!(counted, expected, "retransmitted");
    drop((a, b));
    agent.expect_moved(AMOUNT, 0);
    kernel
}

/// The queue is on the sender's own device: the kernel refuses some segments before they leave and sends them
/// again, which `bytes_sent - bytes_retrans` takes for new. The page must not.
#[test]
fn at_the_senders_own_queue() {
    needs_root!();
    let kernel = over(
        "tbf rate 200mbit burst 20kb limit 30kb",
        "gso_max_size 1500",
    );
    assert!(kernel.retransmitted > 0, "nothing was lost");
    let twice = kernel.sent - kernel.retransmitted - AMOUNT;
    eprintln!(
        "{} bytes retransmitted, {twice} refused by the local queue and counted twice by the kernel",
        kernel.retransmitted
    );
}

/// The queue is behind a hop, as on a real line: segments are lost and come late, out of order.
#[test]
fn on_the_way() {
    needs_root!();
    let lab = Lab::new();
    // B drops at its door what comes faster than this.
    lab.b.run("tc qdisc add dev eth handle ffff: ingress");
    lab.b.run(
        "tc filter add dev eth parent ffff: protocol ip u32 match u32 0 0 police rate 200mbit burst 30k drop",
    );
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&a).write_all(&vec![1; usize::try_from(AMOUNT).unwrap()])
                .unwrap()
        });
        (&b).read_exact(&mut vec![0; usize::try_from(AMOUNT).unwrap()])
            .unwrap();
    });
    assert!(diag::sums(&lab.a).retransmitted > 0, "nothing was lost");
    agent.expect_moved_live(&lab, AMOUNT, 0);
    drop((a, b));
    agent.expect_moved(AMOUNT, 0);
}
