//! OTLP. `metrics` makes messages of snapshots by the catalog, with what `sums` remembers, for the `resource`;
//! `transport` sends one message, over `tls`, `sender` goes on sending, `queue` holds what waits, `book` knows how it went. All of
//! it runs on a thread of its own, so that nothing else ever waits for a receiver.

mod book;
mod connections;
mod ended;
mod logs;
mod metrics;
mod queue;
mod refusal;
mod resource;
mod rounds;
mod sender;
mod sums;
mod tls;
mod transport;
mod words;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver as Ended, channel},
    },
    thread,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};

pub use self::{
    book::Book,
    connections::ConnectionSpans,
    logs::LogLayer,
    metrics::{Encoder, Part},
    rounds::{Ids, RoundLayer},
    transport::{Export, Outcome, Transport},
};
use self::{queue::Queue, sender::Line};
use crate::{
    config::{Config, Signal},
    sampler::Sampler,
};
use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};

/// How long the last messages may take when the agent ends.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// What waits to be sent: the log fills it from the start on.
#[derive(Clone, Default)]
pub struct Outbox {
    /// `None`: not wanted.
    logs: Option<Arc<Queue<LogRecord>>>,
    /// `None`: not wanted.
    spans: Option<Arc<Queue<Span>>>,
}

impl Outbox {
    /// For what is to be sent.
    pub fn new(config: &Config) -> Self {
        let wanted = |signal: Signal| config.otlp.receivers[signal as usize].is_some();
        Self {
            logs: wanted(Signal::Logs).then(Arc::default),
            spans: wanted(Signal::Traces).then(Arc::default),
        }
    }

    /// Takes the messages of the log.
    pub fn log_layer(&self) -> Option<LogLayer> {
        self.logs.clone().map(LogLayer)
    }

    /// Takes the connections that end.
    pub fn connection_spans(&self, config: &Config) -> Option<ConnectionSpans> {
        let queue = self
            .spans
            .clone()
            .filter(|_| config.wants_connection_spans())?;
        Some(ConnectionSpans::new(queue))
    }

    /// Takes the rounds of the sources.
    pub fn round_layer(&self, config: &Config) -> Option<RoundLayer> {
        let queue = self.spans.clone()?;
        Some(RoundLayer::new(
            queue,
            config.otlp.trace_rounds,
            config.interval,
        ))
    }
}

/// Everything that sending needs, before it begins.
pub struct Prepared {
    outbox: Outbox,
    transports: [Option<Transport>; Signal::ALL.len()],
}

/// Reads certificates and keys; connects to nothing.
///
/// # Errors
/// Everything that is wrong with them, a line each.
pub fn prepare(config: &Config, outbox: &Outbox) -> Result<Prepared, String> {
    let mut transports = [const { None }; Signal::ALL.len()];
    let mut problems: Vec<String> = Vec::new();
    for (place, receiver) in transports.iter_mut().zip(&config.otlp.receivers) {
        match receiver.as_ref().map(Transport::new).transpose() {
            Ok(transport) => *place = transport,
            // Signals may share a file.
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Prepared {
            outbox: outbox.clone(),
            transports,
        })
    } else {
        Err(problems.join("\n"))
    }
}

/// Sending, under way.
pub struct Otlp {
    stop: watch::Sender<bool>,
    ended: Ended<()>,
}

impl Otlp {
    /// Sends what is left, but not for longer than two seconds.
    pub fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(true);
        let _ = self.ended.recv_timeout(LAST_FLUSH);
    }
}

impl Prepared {
    /// What is read and will not do, a line each.
    pub fn limits(&self) -> Vec<String> {
        let mut lines: Vec<String> = vec![];
        for limit in self.transports.iter().flatten().flat_map(Transport::limits) {
            // Signals may share a file.
            if !lines.contains(limit) {
                lines.push(limit.clone());
            }
        }
        lines
    }

    /// For people: what goes where.
    pub fn places(&self) -> impl Iterator<Item = (Signal, String)> {
        let transports = Signal::ALL.into_iter().zip(&self.transports);
        transports.filter_map(|(signal, transport)| Some((signal, transport.as_ref()?.place())))
    }

    /// Starts to send, on a thread of its own; `None` if there is nothing to send.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub fn start(self, config: &Config, sampler: Arc<Sampler>) -> io::Result<Option<Otlp>> {
        let lines = Signal::ALL.into_iter().zip(self.transports);
        let lines: Vec<_> = lines
            .filter_map(|(signal, transport)| Some((signal, transport?)))
            .collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = watch::channel(false);
        let (ending, ended) = channel::<()>();
        let resource = resource::resource(config);
        let otlp = config.otlp.clone();
        let outbox = self.outbox;
        let book = Arc::clone(&sampler.otlp);
        for (signal, _) in &lines {
            book.open(*signal);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let run = async move {
            let mut tasks = JoinSet::new();
            for (signal, transport) in lines {
                let line = Line {
                    signal,
                    transport,
                    book: Arc::clone(&book),
                    stop: stopped.clone(),
                };
                match signal {
                    Signal::Metrics => {
                        let encoder = Encoder::new(resource.clone(), &otlp);
                        let sampler = Arc::clone(&sampler);
                        tasks.spawn(sender::metrics(line, encoder, sampler, otlp.interval));
                    }
                    Signal::Logs => {
                        let (queue, resource) =
                            (outbox.logs.clone().unwrap_or_default(), resource.clone());
                        let message = move |records| logs::message(&resource, records);
                        tasks.spawn(sender::queued(line, queue, message));
                    }
                    Signal::Traces => {
                        let (queue, resource) =
                            (outbox.spans.clone().unwrap_or_default(), resource.clone());
                        let message = move |spans| rounds::message(&resource, spans);
                        tasks.spawn(sender::queued(line, queue, message));
                    }
                }
            }
            while tasks.join_next().await.is_some() {}
        };
        thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                runtime.block_on(run);
                // Whoever waits may have gone.
                let _ = ending.send(());
            })?;
        Ok(Some(Otlp { stop, ended }))
    }
}
