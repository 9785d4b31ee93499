//! The queues between the agent's threads and the exporters.

use std::sync::Arc;

use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};

use super::{connections::ConnectionSpans, logs::LogLayer, queue::Queue, rounds::RoundLayer};
use crate::config::{Config, Signal};

/// The queues of log records and spans. They exist before the exporters, so that the first messages are not lost.
#[derive(Clone, Default)]
pub struct ExportQueues {
    /// `None`: the signal is not sent.
    pub(super) logs: Option<Arc<Queue<SdkLogRecord>>>,
    /// `None`: the signal is not sent.
    pub(super) spans: Option<Arc<Queue<SpanData>>>,
}

impl ExportQueues {
    /// The queues of the signals that the configuration sends.
    pub fn new(config: &Config) -> Self {
        let wanted = |signal: Signal| config.otlp.receivers[signal as usize].is_some();
        Self {
            logs: wanted(Signal::Logs).then(Arc::default),
            spans: wanted(Signal::Traces).then(Arc::default),
        }
    }

    /// Queues the messages of the log.
    pub fn log_layer(&self) -> Option<LogLayer> {
        self.logs.clone().map(LogLayer::new)
    }

    /// Queues a span for each connection that ends.
    pub fn connection_spans(&self, config: &Config) -> Option<ConnectionSpans> {
        let queue = self
            .spans
            .clone()
            .filter(|_| config.wants_connection_spans())?;
        Some(ConnectionSpans::new(queue))
    }

    /// Queues spans of the sources' rounds.
    pub fn round_layer(&self, config: &Config) -> Option<RoundLayer> {
        let queue = self.spans.clone()?;
        Some(RoundLayer::new(
            queue,
            config.otlp.trace_rounds,
            config.interval,
        ))
    }
}
