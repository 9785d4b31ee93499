//! The export loops, one for each signal. Metrics are not kept for a retry: the next snapshot has newer points, in which
//! no counter has lost anything. Log records and spans stay until the receiver accepts or refuses them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{
    exporter::{ExportBatch, Exporter},
    metrics::Encoder,
    queue::Queue,
    transport::{Outcome, Transport},
};
use crate::{
    backoff::Backoff,
    config::Signal,
    sample::{ExportDropReason, export_stats::ExportStats},
    sampler::Sampler,
    text::printable,
};

/// The largest number of log records or spans in one message.
const BATCH: usize = 512;

/// How long a batch is collected after its first item has arrived.
const COLLECT: Duration = Duration::from_millis(500);

/// The pauses before retries, unless the receiver asks for more.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Counts and logs what becomes of one signal's messages.
pub(super) struct SignalExporter {
    pub(super) signal: Signal,
    /// The receiver's address, for messages.
    pub(super) receiver: String,
    pub(super) stats: Arc<ExportStats>,
    /// True once the agent stops.
    pub(super) stop: watch::Receiver<bool>,
}

/// What to do after a message.
enum SendOutcome {
    Accepted,
    Refused,
    /// Send it again, after the time that the receiver asked for.
    Retry(Option<Duration>),
}

impl SignalExporter {
    /// Counts and logs the outcome of a message with that many items. A failure is logged when it starts and when it ends.
    fn settle(&self, outcome: Outcome, count: u64) -> SendOutcome {
        let (signal, receiver) = (self.signal.name(), &self.receiver);
        match outcome {
            Outcome::Accepted { rejected, why } => {
                let rejected = rejected.min(count);
                self.stats.add_sent(self.signal, count - rejected);
                let why = printable(&why);
                if rejected > 0 {
                    self.drop(ExportDropReason::Rejected, rejected);
                    warn!(
                        "the OTLP receiver {receiver} rejected {rejected} items of {signal}: {why}"
                    );
                } else if !why.is_empty() {
                    warn!("the OTLP receiver {receiver} accepted {signal} with a warning: {why}");
                }
                match self.stats.set_up(self.signal, true) {
                    Some(true) => {}
                    Some(false) => info!("the OTLP receiver {receiver} accepts {signal} again"),
                    None => info!("the OTLP receiver {receiver} accepts {signal}"),
                }
                SendOutcome::Accepted
            }
            Outcome::Refused { why } => {
                self.drop(ExportDropReason::Refused, count);
                if self.stats.set_up(self.signal, false) != Some(false) {
                    warn!("the OTLP receiver {receiver} refuses {signal}: {why}; not retrying");
                }
                SendOutcome::Refused
            }
            Outcome::Later { why, after } => {
                if self.stats.set_up(self.signal, false) != Some(false) {
                    warn!("cannot send {signal} to the OTLP receiver {receiver}: {why}; retrying");
                }
                SendOutcome::Retry(after)
            }
        }
    }

    fn drop(&self, reason: ExportDropReason, count: u64) {
        self.stats.add_dropped(self.signal, reason, count);
    }

    /// Waits, and returns whether the agent stops meanwhile.
    async fn stops_within(&mut self, pause: impl Future<Output = ()>) -> bool {
        tokio::select! {
            // An error means that the other side is gone, which is a stop as well.
            _ = self.stop.wait_for(|stop| *stop) => true,
            () = pause => false,
        }
    }
}

/// Sends a snapshot every interval, and a last one when the agent stops.
pub(super) async fn export_metrics(
    mut exporter: SignalExporter,
    transport: Arc<Transport>,
    mut encoder: Encoder,
    sampler: Arc<Sampler>,
    interval: Duration,
) {
    let backoff = Backoff::new(FIRST_PAUSE, interval.min(LONGEST_PAUSE));
    let mut failures = 0_u32;
    let mut next = Instant::now();
    let mut stopping = false;
    loop {
        let mut retry = None;
        let parts = encoder.encode(&sampler.snapshot());
        for (index, part) in parts.into_iter().enumerate() {
            if retry.is_some() {
                // The next snapshot has newer points.
                exporter.drop(ExportDropReason::Replaced, part.points);
                continue;
            }
            let outcome = transport.send(part.body()).await;
            match exporter.settle(outcome, part.points) {
                SendOutcome::Accepted => encoder.accepted(index),
                SendOutcome::Refused => {}
                SendOutcome::Retry(after) => {
                    let reason = if stopping {
                        ExportDropReason::Shutdown
                    } else {
                        ExportDropReason::Replaced
                    };
                    exporter.drop(reason, part.points);
                    retry = Some(after);
                }
            }
        }
        if stopping {
            return;
        }
        let now = Instant::now();
        next = if let Some(after) = retry {
            failures = failures.saturating_add(1);
            now + backoff.jittered(failures, after)
        } else {
            failures = 0;
            // Keeps to multiples of the interval, and skips those that were missed.
            let late = now.saturating_duration_since(next).as_nanos();
            let missed = late / interval.as_nanos().max(1);
            next + interval * u32::try_from(missed + 1).unwrap_or(u32::MAX)
        };
        stopping = exporter.stops_within(sleep_until(next)).await;
    }
}

/// Sends what arrives in a queue, and the rest of it when the agent stops.
pub(super) async fn export_queue<E: ExportBatch>(
    mut exporter: SignalExporter,
    queue: Arc<Queue<E::Item>>,
    batches: Exporter<E>,
) {
    let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut failures = 0_u32;
    let mut stopping = false;
    loop {
        if !stopping {
            let collected = async {
                queue.wait().await;
                sleep(COLLECT).await;
            };
            stopping = exporter.stops_within(collected).await;
        }
        loop {
            exporter.drop(ExportDropReason::Overflow, queue.take_overflow());
            let batch = queue.take(BATCH);
            if batch.is_empty() {
                break;
            }
            let count = batch.len() as u64;
            while let SendOutcome::Retry(after) =
                exporter.settle(batches.export(&batch).await, count)
            {
                failures = failures.saturating_add(1);
                let pause = sleep(backoff.jittered(failures, after));
                if stopping || exporter.stops_within(pause).await {
                    let rest = queue.take(usize::MAX).len() as u64;
                    exporter.drop(ExportDropReason::Shutdown, count + rest);
                    return;
                }
            }
            failures = 0;
        }
        if stopping {
            return;
        }
    }
}
