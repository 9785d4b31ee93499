//! MPC connections as spans: one for each that has ended, from its beginning to its end. Without addresses: the party is
//! what is asked for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use agent_ebpf::End;
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};

use super::{
    queue::Queue,
    words::{attribute, integer, nanoseconds, text},
};
use crate::sample::{Connection, Witness};

/// How many are sent in a second. Those beyond count as dropped, like what finds no room in the queue.
const RATE: u32 = 500;
/// How many seconds may be made up for.
const BURST: u32 = 2;

/// Puts a span into the queue for each connection that ends.
pub struct ConnectionSpans {
    queue: Arc<Queue<Span>>,
    allowance: Allowance,
}

impl ConnectionSpans {
    pub(super) fn new(queue: Arc<Queue<Span>>) -> Self {
        let allowance = Allowance {
            left: RATE * BURST,
            filled: Instant::now(),
        };
        Self { queue, allowance }
    }
}

impl Witness for ConnectionSpans {
    fn ended(&mut self, connection: &Connection) {
        if self.allowance.take(Instant::now()) {
            self.queue.push(span(connection));
        } else {
            self.queue.refuse();
        }
    }
}

/// What may still be sent: so many at once, and so many more each second.
struct Allowance {
    left: u32,
    filled: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        const PERIOD: Duration = Duration::from_secs(1);
        while self.left < RATE * BURST && now.saturating_duration_since(self.filled) >= PERIOD {
            self.left = (self.left + RATE).min(RATE * BURST);
            self.filled += PERIOD;
        }
        if self.left == RATE * BURST {
            self.filled = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

fn span(connection: &Connection) -> Span {
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
    let mut attributes = vec![
        text("mpc.peer.party_id", &**party),
        text("mpc.protocol", &**protocol),
        text("mpc.role", role.name()),
        text("network.transport", "tcp"),
        integer("partymeter.connection.transmit", *transmit),
        integer("partymeter.connection.receive", *receive),
        integer("partymeter.connection.retransmit", *retransmit),
        attribute("partymeter.connection.adopted", Value::BoolValue(*adopted)),
    ];
    attributes.extend(
        smoothed_rtt.map(|rtt| attribute("partymeter.connection.rtt", Value::DoubleValue(rtt))),
    );
    let end = end.unwrap_or(End::Fin);
    attributes.push(text("partymeter.reason", end.name()));
    let status = (end != End::Fin).then(|| {
        attributes.push(text("error.type", end.name()));
        Status {
            message: String::new(),
            code: StatusCode::Error.into(),
        }
    });
    Span {
        trace_id: fastrand::u128(1..).to_be_bytes().to_vec(),
        span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
        name: format!("mpc {protocol}"),
        // Neither side asks the other: parties are peers.
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanoseconds(*began),
        end_time_unix_nano: nanoseconds(*ended),
        attributes,
        status,
        ..Span::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance {
            left: RATE * BURST,
            filled: start,
        };
        let mut taken = |after: u64| {
            let now = start + Duration::from_millis(after);
            (0..10_000)
                .map(|_| u32::from(allowance.take(now)))
                .sum::<u32>()
        };
        assert_eq!(taken(0), RATE * BURST);
        assert_eq!(taken(900), 0);
        assert_eq!(taken(1_000), RATE);
        assert_eq!(taken(60_000), RATE * BURST, "no more is saved up");
    }
}
