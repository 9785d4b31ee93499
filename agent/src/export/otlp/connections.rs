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
use crate::{
    sample::{ConnectionObserver, ConnectionRecord},
    token_bucket::TokenBucket,
};

/// Spans per second. Those beyond count as dropped for overflow.
const RATE: u32 = 500;
/// The capacity of the bucket. Unit: seconds at [`RATE`].
const BURST: u32 = 2;

/// Queues a span for each connection that ends.
pub struct ConnectionSpans {
    queue: Arc<Queue<SpanData>>,
    limit: TokenBucket,
}

impl ConnectionSpans {
    pub(super) fn new(queue: Arc<Queue<SpanData>>) -> Self {
        let second = Duration::from_secs(1);
        let limit = TokenBucket::new(RATE * BURST, RATE, second, Instant::now());
        Self { queue, limit }
    }
}

impl ConnectionObserver for ConnectionSpans {
    fn ended(&mut self, connection: &ConnectionRecord) {
        if self.limit.take(Instant::now()) {
            self.queue.push(span(connection));
        } else {
            self.queue.count_overflow();
        }
    }
}

fn span(connection: &ConnectionRecord) -> SpanData {
    let ConnectionRecord {
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
