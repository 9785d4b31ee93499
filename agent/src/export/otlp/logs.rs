//! Messages of the log as records of OTLP.

use std::{sync::Arc, time::SystemTime};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{
    queue::Queue,
    rounds::Ids,
    words::{SCHEMA, attribute, nanoseconds, scope, text},
};
use crate::log::{Fields, Value, metadata};

/// Puts every message that is shown into the queue.
pub struct LogLayer(pub(super) Arc<Queue<LogRecord>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let ids = context.event_scope(event).and_then(|spans| Ids::of(spans));
        self.0.push(record(event, ids, SystemTime::now()));
    }
}

fn record(event: &Event<'_>, ids: Option<Ids>, now: SystemTime) -> LogRecord {
    let Fields { message, others } = Fields::of(event);
    let (level, target) = metadata(event);
    let severity = match level {
        Level::ERROR => SeverityNumber::Error,
        Level::WARN => SeverityNumber::Warn,
        Level::INFO => SeverityNumber::Info,
        Level::DEBUG => SeverityNumber::Debug,
        Level::TRACE => SeverityNumber::Trace,
    };
    let others = others.into_iter().map(|(name, value)| {
        let value = match value {
            Value::Text(text) => any_value::Value::StringValue(text),
            Value::Integer(value) => any_value::Value::IntValue(value),
            Value::Real(value) => any_value::Value::DoubleValue(value),
            Value::Bool(value) => any_value::Value::BoolValue(value),
        };
        attribute(name, value)
    });
    let target = text("partymeter.log.target", target);
    LogRecord {
        time_unix_nano: nanoseconds(now),
        observed_time_unix_nano: nanoseconds(now),
        severity_number: severity.into(),
        severity_text: level.as_str().to_owned(),
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(message)),
        }),
        attributes: [target].into_iter().chain(others).collect(),
        trace_id: ids.map(Ids::trace_bytes).unwrap_or_default(),
        span_id: ids.map(Ids::span_bytes).unwrap_or_default(),
        ..LogRecord::default()
    }
}

/// A message of them.
pub(super) fn message(
    resource: &Resource,
    log_records: Vec<LogRecord>,
) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                schema_url: SCHEMA.to_owned(),
            }],
            schema_url: SCHEMA.to_owned(),
        }],
    }
}
