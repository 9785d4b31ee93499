//! What all spans of the agent have in common.

use std::time::SystemTime;

use opentelemetry::{
    KeyValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::exporter::instrumentation_scope;

/// A span's identity. All spans that are made are sent.
pub(super) fn context(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

/// A span without a parent, with status unset.
pub(super) fn span(
    span_context: SpanContext,
    name: String,
    (start_time, end_time): (SystemTime, SystemTime),
    attributes: Vec<KeyValue>,
) -> SpanData {
    SpanData {
        span_context,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        // Neither side of a connection is the other's client, and a round has no other side.
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time,
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: instrumentation_scope(),
    }
}

/// A whole number as the value of an attribute, which is signed.
pub(super) fn integer(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}
