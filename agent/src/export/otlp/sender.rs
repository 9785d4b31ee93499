//! Sends again and again, each signal for itself. Metrics are never kept: when the receiver has not taken them, the next
//! try sends newer ones, in which nothing of a counter is lost. Log records and spans wait in their queue.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    book::Book,
    metrics::Encoder,
    queue::Queue,
    transport::{Export, Outcome, Transport},
};
use crate::{config::Signal, sample::Dropped, sampler::Sampler, text::printable};

/// Log records or spans in one message.
const BATCH: usize = 512;

/// How long to collect them, once there is one.
const COLLECT: Duration = Duration::from_millis(500);

/// The first pause after a failure; then it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// One signal's receiver, and where its troubles are written down.
pub(super) struct Line {
    pub(super) signal: Signal,
    pub(super) transport: Transport,
    pub(super) book: Arc<Book>,
    /// True from when the agent is to end.
    pub(super) stop: watch::Receiver<bool>,
}

/// How a message fared.
enum Fate {
    /// Taken.
    Taken,
    /// Refused for good.
    Refused,
    /// To be tried again, after what the receiver asked for.
    Again(Option<Duration>),
}

impl Line {
    /// Sends one message of so many items, and writes down what came of it.
    async fn send<R: Export>(&mut self, message: &R, count: u64) -> Fate {
        let place = self.transport.place();
        match self.transport.send(message).await {
            Outcome::Accepted { rejected, why } => {
                let rejected = rejected.min(count);
                self.book.sent(self.signal, count - rejected);
                if rejected > 0 {
                    self.book.dropped(self.signal, Dropped::Rejected, rejected);
                    let name = self.signal.name();
                    tracing::warn!(
                        "the OTLP receiver of {name} at {place} left {rejected} out: {}",
                        printable(&why)
                    );
                } else if !why.is_empty() {
                    tracing::warn!("the OTLP receiver at {place} says: {}", printable(&why));
                }
                self.book.up(self.signal, &place);
                Fate::Taken
            }
            Outcome::Refused { why } => {
                self.book.dropped(self.signal, Dropped::Refused, count);
                self.book.down(self.signal, &place, &why, false);
                Fate::Refused
            }
            Outcome::Later { why, after } => {
                self.book.down(self.signal, &place, &why, true);
                Fate::Again(after)
            }
        }
    }

    /// Whether the agent ends meanwhile.
    async fn ends_within(&mut self, pause: impl Future<Output = ()>) -> bool {
        tokio::select! {
            // The sender going away is the end as well.
            _ = self.stop.wait_for(|stop| *stop) => true,
            () = pause => false,
        }
    }
}

/// Sends a snapshot every interval until the end, and once more then.
pub(super) async fn metrics(
    mut line: Line,
    mut encoder: Encoder,
    sampler: Arc<Sampler>,
    interval: Duration,
) {
    let mut backoff = Backoff::new(interval);
    let mut next = Instant::now();
    let mut ends = false;
    loop {
        let mut again = None;
        let parts = encoder.encode(&sampler.snapshot());
        for (number, part) in parts.into_iter().enumerate() {
            if again.is_some() {
                // Its turn comes with newer points.
                line.book
                    .dropped(line.signal, Dropped::Replaced, part.points);
                continue;
            }
            match line.send(&part.request, part.points).await {
                Fate::Taken => encoder.accepted(number),
                Fate::Refused => {}
                Fate::Again(after) => {
                    let reason = if ends {
                        Dropped::Shutdown
                    } else {
                        Dropped::Replaced
                    };
                    line.book.dropped(line.signal, reason, part.points);
                    again = Some(after);
                }
            }
        }
        if ends {
            return;
        }
        let now = Instant::now();
        next = if let Some(after) = again {
            now + backoff.pause(after)
        } else {
            backoff.reset();
            // The rhythm is kept, and what was missed is not made up for.
            let late = now.saturating_duration_since(next).as_nanos();
            let missed = late / interval.as_nanos().max(1);
            next + interval * u32::try_from(missed + 1).unwrap_or(u32::MAX)
        };
        ends = line.ends_within(sleep_until(next)).await;
    }
}

/// Sends what comes into a queue until the end, and what is left then.
pub(super) async fn queued<T, R: Export>(
    mut line: Line,
    queue: Arc<Queue<T>>,
    message: impl Fn(Vec<T>) -> R,
) {
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    let mut ends = false;
    loop {
        if !ends {
            let collected = async {
                queue.wait().await;
                sleep(COLLECT).await;
            };
            ends = line.ends_within(collected).await;
        }
        loop {
            let overflow = queue.overflow();
            line.book.dropped(line.signal, Dropped::Overflow, overflow);
            let batch = queue.take(BATCH);
            if batch.is_empty() {
                break;
            }
            let count = batch.len() as u64;
            let message = message(batch);
            while let Fate::Again(after) = line.send(&message, count).await {
                if ends || line.ends_within(sleep(backoff.pause(after))).await {
                    let left = queue.take(usize::MAX).len() as u64;
                    line.book
                        .dropped(line.signal, Dropped::Shutdown, count + left);
                    return;
                }
            }
            backoff.reset();
        }
        if ends {
            return;
        }
    }
}

/// How long to wait after a failure: twice as long each time, and less by chance, so that many agents do not come
/// together.
struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Backoff {
    fn new(longest: Duration) -> Self {
        Self {
            failures: 0,
            longest: longest.min(LONGEST_BACKOFF),
        }
    }

    fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure; at least what the receiver asked for.
    fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let own = doubled
            .min(self.longest)
            .mul_f64(0.5 + fastrand::f64() / 2.0);
        asked.map_or(own, |asked| asked.min(LONGEST_PAUSE) + own / 4)
    }
}

/// The longest pause of its own accord.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_interval_and_are_never_quite_the_same() {
        let mut backoff = Backoff::new(Duration::from_secs(15));
        let mut pause = || backoff.pause(None).as_secs_f64();
        for longest in [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0] {
            let pause = pause();
            assert!(
                (longest / 2.0..=longest).contains(&pause),
                "{pause} of {longest}"
            );
        }
        assert!(pause().to_bits() != pause().to_bits());
    }

    #[test]
    fn a_receiver_is_not_asked_before_it_wants_to_but_not_forgotten_either() {
        let mut backoff = Backoff::new(Duration::from_secs(15));
        assert!(backoff.pause(Some(Duration::from_secs(30))) >= Duration::from_secs(30));
        let day = backoff.pause(Some(Duration::from_hours(24)));
        assert!(day < LONGEST_PAUSE + Duration::from_mins(1), "{day:?}");
    }
}
