//! The kernel's own counters of live connections, as INET_DIAG reports them (through `ss`).

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::{lab::Namespace, until, until_true};

/// Sums over the TCP connections of a namespace. Unit: bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub sent: u64,
    pub retransmitted: u64,
    pub received: u64,
}

/// What `ss` says of every connection in the namespace that is established, a line each.
pub fn text(namespace: &Namespace) -> String {
    let output = Command::new("ip")
        .args([
            "netns",
            "exec",
            &namespace.name,
            "ss",
            "-tinHO",
            "state",
            "established",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Asks INET_DIAG about every connection in the namespace that is established.
pub fn sums(namespace: &Namespace) -> Sums {
    let text = text(namespace);
    let sum = |name: &str| {
        let values = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix(name));
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    };
    Sums {
        sent: sum("bytes_sent:"),
        retransmitted: sum("bytes_retrans:"),
        received: sum("bytes_received:"),
    }
}

/// Waits until nothing has moved between two namespaces for a second, as when a window is full, and gives the sums
/// of both.
pub fn standstill(a: &Namespace, b: &Namespace) -> (Sums, Sums) {
    let now = || (sums(a), sums(b));
    let (mut last, mut since) = (now(), Instant::now());
    let still = || {
        let next = now();
        if next != last {
            (last, since) = (next, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(1)).then(now)
    };
    until(still, || "still moving")
}

/// Waits until the connections of a namespace have received that much.
pub fn until_received(namespace: &Namespace, bytes: u64) {
    let received = || sums(namespace).received;
    until_true(
        || received() == bytes,
        || format!("{} received", received()),
    );
}

/// Waits until a namespace has no established connection any more.
pub fn until_none(namespace: &Namespace) {
    until_true(|| text(namespace).is_empty(), || text(namespace));
}
