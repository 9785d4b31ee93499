//! Messages of the log as OTLP log records.

use std::{sync::Arc, time::SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_sdk::{
    Resource,
    logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider},
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::queue::Queue;
use crate::log::{Fields, LogValue, metadata, span_context};

/// Puts every message that the log shows into the queue.
pub struct LogLayer {
    queue: Arc<Queue<SdkLogRecord>>,
    /// Only makes records: the SDK lets nothing else do so.
    logger: SdkLogger,
}

impl LogLayer {
    pub(super) fn new(queue: Arc<Queue<SdkLogRecord>>) -> Self {
        // The exporter has the resource. The SDK would read one from the environment.
        let resource = Resource::builder_empty().build();
        let provider = SdkLoggerProvider::builder().with_resource(resource).build();
        let logger = provider.logger(env!("CARGO_PKG_NAME"));
        Self { queue, logger }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut record = self.logger.create_log_record();
        fill(&mut record, event);
        if let Some(context) = context.event_scope(event).and_then(span_context) {
            record.set_trace_context(context.trace_id(), context.span_id(), None);
        }
        self.queue.push(record);
    }
}

fn fill(record: &mut SdkLogRecord, event: &Event<'_>) {
    let Fields { message, others } = Fields::of(event);
    let (level, target) = metadata(event);
    let now = SystemTime::now();
    record.set_timestamp(now);
    record.set_observed_timestamp(now);
    record.set_severity_text(level.as_str());
    record.set_severity_number(match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    });
    record.set_body(message.into());
    record.add_attribute("partymeter.log.target", target);
    record.add_attributes(others.into_iter().map(|(name, value)| {
        let value: AnyValue = match value {
            LogValue::Text(text) => text.into(),
            LogValue::Integer(value) => value.into(),
            LogValue::Real(value) => value.into(),
            LogValue::Bool(value) => value.into(),
        };
        (name, value)
    }));
}
