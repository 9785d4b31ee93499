//! A message that comes again and again is shown once; how often it came is told some time later.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Level, Metadata, Subscriber, debug, error, info, trace, warn};
use tracing_subscriber::layer::{Context, Filter};

use super::{Fields, SECURITY};

/// For how long the same message is held back after it was shown.
const WINDOW: Duration = Duration::from_secs(10);

/// Messages that are remembered; of more, all are shown.
const MOST: usize = 512;

/// What was shown not long ago.
#[derive(Default)]
pub(super) struct Limit(Mutex<HashMap<u64, Shown>>);

struct Shown {
    level: Level,
    /// Whether it is about security.
    security: bool,
    message: String,
    since: Instant,
    again: u64,
}

/// The target of what is told of others: it is not held back itself.
const REPEATED: &str = "partymeter::log";

/// The same of messages about security. What a filter says of [`SECURITY`] goes for this, too.
const REPEATED_SECURITY: &str = "partymeter::security::log";

impl Limit {
    /// As a filter of messages.
    pub(super) const fn filter(self: Arc<Self>) -> Once {
        Once(self)
    }

    /// Whether to show it.
    fn is_news(
        &self,
        key: u64,
        (level, security): (Level, bool),
        message: impl FnOnce() -> String,
        now: Instant,
    ) -> bool {
        let mut shown = self.lock();
        if let Some(before) = shown.get_mut(&key) {
            before.again += 1;
            return false;
        }
        if shown.len() < MOST {
            let since = now;
            shown.insert(
                key,
                Shown {
                    level,
                    security,
                    message: message(),
                    since,
                    again: 0,
                },
            );
        }
        true
    }

    /// Takes out what was shown long enough ago, and gives those that came again.
    fn over(&self, now: Instant) -> Vec<Shown> {
        let mut shown = self.lock();
        let over = shown.extract_if(|_, it| now.saturating_duration_since(it.since) >= WINDOW);
        over.map(|(_, it)| it).filter(|it| it.again > 0).collect()
    }

    /// Says how often what was held back came again.
    pub(super) fn tell(&self) {
        for Shown {
            level,
            security,
            message,
            again,
            ..
        } in self.over(Instant::now())
        {
            let seconds = WINDOW.as_secs();
            macro_rules! told {
                ($target:ident: $($level:ident => $say:ident),*) => {
                    match level {
                        $(Level::$level => $say!(
                            target: $target, repeated = again, "{again} times more in {seconds} s: {message}"
                        )),*
                    }
                };
                ($target:ident) => {
                    told!($target: ERROR => error, WARN => warn, INFO => info, DEBUG => debug, TRACE => trace)
                };
            }
            if security {
                told!(REPEATED_SECURITY);
            } else {
                told!(REPEATED);
            }
        }
    }

    /// Has all that was shown so far been shown long ago.
    #[cfg(test)]
    pub(super) fn age(&self) {
        for shown in self.lock().values_mut() {
            shown.since -= WINDOW;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets each message through once.
pub(super) struct Once(Arc<Limit>);

impl<S: Subscriber> Filter<S> for Once {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if [REPEATED, REPEATED_SECURITY].contains(&metadata.target()) {
            return true;
        }
        let fields = Fields::of(event);
        let mut hasher = DefaultHasher::new();
        (metadata.callsite(), &fields.message).hash(&mut hasher);
        for (name, value) in &fields.others {
            (name, value.to_string()).hash(&mut hasher);
        }
        let message = || fields.message.clone();
        self.0.is_news(
            hasher.finish(),
            (*metadata.level(), metadata.target() == SECURITY),
            message,
            Instant::now(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_shown_once_in_a_while_and_then_counted() {
        let (limit, now) = (Limit::default(), Instant::now());
        let news = |key, later: Duration| {
            limit.is_news(
                key,
                (Level::WARN, false),
                || format!("message {key}"),
                now + later,
            )
        };
        assert!(news(1, Duration::ZERO));
        assert!(!news(1, Duration::from_secs(1)) && !news(1, Duration::from_secs(9)));
        assert!(news(2, Duration::from_secs(5)));
        assert!(limit.over(now + Duration::from_secs(9)).is_empty());
        let over = limit.over(now + WINDOW);
        let [
            Shown {
                again: 2, message, ..
            },
        ] = &over[..]
        else {
            panic!("{}", over.len())
        };
        assert_eq!(message, "message 1");
        // From the beginning; the other came only once, and is forgotten without a word.
        assert!(news(1, WINDOW));
        assert!(limit.over(now + WINDOW * 2).is_empty());
        assert!(news(2, WINDOW * 2));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (limit, now) = (Limit::default(), Instant::now());
        for key in 0..10 * MOST as u64 {
            assert!(limit.is_news(key, (Level::INFO, false), String::new, now));
        }
        assert_eq!(limit.lock().len(), MOST);
    }
}
