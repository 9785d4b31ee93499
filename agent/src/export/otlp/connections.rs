//! MPC connections as spans, one for each that has ended. They have the party but no address.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use agent_ebpf::End;
use opentelemetry::{KeyValue, trace::Status};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute::{ERROR_TYPE, NETWORK_TRANSPORT};

use super::{
    queue::Queue,
    span::{context, integer},
};
use crate::sample::{Connection, Witness};

/// Spans per second. Those beyond count as dropped for overflow.
const RATE: u32 = 500;
/// The capacity of the bucket. Unit: seconds at [`RATE`].
const BURST: u32 = 2;

/// Queues a span for each connection that ends.
pub struct ConnectionSpans {
    queue: Arc<Queue<SpanData>>,
    limiter: RateLimiter,
}

impl ConnectionSpans {
    pub(super) fn new(queue: Arc<Queue<SpanData>>) -> Self {
        let limiter = RateLimiter::new(Instant::now());
        Self { queue, limiter }
    }
}

impl Witness for ConnectionSpans {
    fn ended(&mut self, connection: &Connection) {
        if self.limiter.allow(Instant::now()) {
            self.queue.push(span(connection));
        } else {
            self.queue.count_overflow();
        }
    }
}

/// A token bucket, refilled once a second.
struct RateLimiter {
    tokens: u32,
    refilled: Instant,
}

impl RateLimiter {
    fn new(now: Instant) -> Self {
        Self {
            tokens: RATE * BURST,
            refilled: now,
        }
    }

    fn allow(&mut self, now: Instant) -> bool {
        const PERIOD: Duration = Duration::from_secs(1);
        while self.tokens < RATE * BURST && now.saturating_duration_since(self.refilled) >= PERIOD {
            self.tokens = (self.tokens + RATE).min(RATE * BURST);
            self.refilled += PERIOD;
        }
        if self.tokens == RATE * BURST {
            self.refilled = now;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

fn span(connection: &Connection) -> SpanData {
    let Connection {
        party,
        protocol,
        role,
        local: _,
        remote: _,
        began,
        ended,
        end,
        adopted,
        transmit,
        receive,
        retransmit,
        smoothed_rtt,
    } = connection;
    let end = end.unwrap_or(End::Fin);
    let mut attributes = vec![
        KeyValue::new("mpc.peer.party_id", Arc::clone(party)),
        KeyValue::new("mpc.protocol", Arc::clone(protocol)),
        KeyValue::new("mpc.role", role.name()),
        KeyValue::new(NETWORK_TRANSPORT, "tcp"),
        KeyValue::new("partymeter.connection.transmit", integer(*transmit)),
        KeyValue::new("partymeter.connection.receive", integer(*receive)),
        KeyValue::new("partymeter.connection.retransmit", integer(*retransmit)),
        KeyValue::new("partymeter.connection.adopted", *adopted),
    ];
    attributes.extend(smoothed_rtt.map(|rtt| KeyValue::new("partymeter.connection.rtt", rtt)));
    attributes.push(KeyValue::new("partymeter.reason", end.name()));
    let failed = end != End::Fin;
    attributes.extend(failed.then(|| KeyValue::new(ERROR_TYPE, end.name())));
    let context = context(fastrand::u128(1..).into(), fastrand::u64(1..).into());
    let name = format!("mpc {protocol}");
    let mut span = super::span::span(context, name, (*began, *ended), attributes);
    if failed {
        span.status = Status::error("");
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(start);
        let mut passed = |after: u64| {
            let now = start + Duration::from_millis(after);
            (0..10_000)
                .map(|_| u32::from(limiter.allow(now)))
                .sum::<u32>()
        };
        assert_eq!(passed(0), RATE * BURST);
        assert_eq!(passed(900), 0);
        assert_eq!(passed(1_000), RATE);
        assert_eq!(passed(60_000), RATE * BURST, "the bucket holds no more");
    }
}
