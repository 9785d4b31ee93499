//! Exports metrics, spans and log records by OTLP, on a thread of its own, so that nothing ever waits for a receiver.
//! `metrics` encodes snapshots; `logs`, `rounds` and `connections` fill the queues of log records and spans; `sender`
//! sends them over one `transport` for each signal.

mod connections;
mod exporter;
mod logs;
mod metrics;
mod queue;
mod queues;
mod resource;
mod rounds;
mod sender;
mod span;
mod transport;

#[cfg(test)]
mod golden;

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
    connections::ConnectionSpans,
    logs::LogLayer,
    metrics::{Encoder, Part},
    queues::ExportQueues,
    rounds::RoundLayer,
    transport::{Outcome, Transport},
};
use self::{
    exporter::{Exporter, log_exporter, span_exporter},
    sender::SignalExporter,
};
use crate::{
    config::{Config, Signal},
    sampler::Sampler,
};

/// How long the last messages may take when the agent stops.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// What the exporters need before they start.
pub struct Prepared {
    queues: ExportQueues,
    transports: [Option<Transport>; Signal::ALL.len()],
}

/// Reads certificates and keys; connects to nothing.
///
/// # Errors
/// All problems with them, one a line.
pub fn prepare(config: &Config, queues: &ExportQueues) -> Result<Prepared, String> {
    let mut transports = [const { None }; Signal::ALL.len()];
    let mut problems: Vec<String> = Vec::new();
    for (transport, signal) in transports.iter_mut().zip(Signal::ALL) {
        let receiver = config.otlp.receivers[signal as usize].as_ref();
        match receiver.map(|it| Transport::new(signal, it)).transpose() {
            Ok(new) => *transport = new,
            // Signals that share a file have the same problem.
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Prepared {
            queues: queues.clone(),
            transports,
        })
    } else {
        Err(problems.join("\n"))
    }
}

/// The running exporters.
pub struct Otlp {
    stop: watch::Sender<bool>,
    ended: Ended<()>,
}

impl Otlp {
    /// Sends what is left, for at most two seconds.
    pub fn stop(self) {
        // The thread may have ended by itself.
        let _ = self.stop.send(true);
        let _ = self.ended.recv_timeout(LAST_FLUSH);
    }
}

impl Prepared {
    /// Certificates that are not valid now, a line each.
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

    /// The address of each signal's receiver.
    pub fn receivers(&self) -> impl Iterator<Item = (Signal, String)> {
        let transports = Signal::ALL.into_iter().zip(&self.transports);
        transports.filter_map(|(signal, transport)| Some((signal, transport.as_ref()?.address())))
    }

    /// Starts the exporters on a thread of their own; `None` if no signal is sent.
    ///
    /// # Errors
    /// When the operating system has no thread left, or an exporter cannot be built.
    pub fn start(self, config: &Config, sampler: &Arc<Sampler>) -> io::Result<Option<Otlp>> {
        let transports = Signal::ALL.into_iter().zip(self.transports);
        let transports: Vec<_> = transports
            .filter_map(|(signal, transport)| Some((signal, Arc::new(transport?))))
            .collect();
        if transports.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = watch::channel(false);
        let (ending, ended) = channel::<()>();
        let attributes = resource::attributes(config);
        let resource = resource::for_exporters(&attributes);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut tasks = JoinSet::new();
        for (signal, transport) in transports {
            sampler.otlp.add_signal(signal);
            let signal_exporter = SignalExporter {
                signal,
                receiver: transport.address(),
                stats: Arc::clone(&sampler.otlp),
                stop: stopped.clone(),
            };
            let on = runtime.handle();
            match signal {
                Signal::Metrics => {
                    let encoder = Encoder::new(&attributes, &config.otlp);
                    let (sampler, every) = (Arc::clone(sampler), config.otlp.interval);
                    let exporter = signal_exporter;
                    let task = sender::export_metrics(exporter, transport, encoder, sampler, every);
                    tasks.spawn_on(task, on);
                }
                Signal::Logs => {
                    let queue = self.queues.logs.clone().unwrap_or_default();
                    let exporter = Exporter::new(transport, |it| log_exporter(it, &resource));
                    let exporter = exporter.map_err(io::Error::other)?;
                    tasks.spawn_on(sender::export_queue(signal_exporter, queue, exporter), on);
                }
                Signal::Traces => {
                    let queue = self.queues.spans.clone().unwrap_or_default();
                    let exporter = Exporter::new(transport, |it| span_exporter(it, &resource));
                    let exporter = exporter.map_err(io::Error::other)?;
                    tasks.spawn_on(sender::export_queue(signal_exporter, queue, exporter), on);
                }
            }
        }
        let run = async move { while tasks.join_next().await.is_some() {} };
        thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                runtime.block_on(run);
                // Nobody waits after the time limit.
                let _ = ending.send(());
            })?;
        Ok(Some(Otlp { stop, ended }))
    }
}
