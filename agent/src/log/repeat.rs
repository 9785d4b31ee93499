//! Suppresses repeated messages: the first is shown, and some time later the number of repetitions.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Level, Metadata, Subscriber, debug, error, info, trace, warn};
use tracing_subscriber::layer::{Context, Filter};

use super::{Fields, SECURITY};

/// For how long repetitions are suppressed.
const WINDOW: Duration = Duration::from_secs(10);

/// The number of messages remembered; beyond it, messages are shown each time.
const MOST: usize = 512;

/// The messages shown within the window, by hash.
#[derive(Default)]
pub(super) struct Repeats(Mutex<HashMap<u64, Shown>>);

struct Shown {
    level: Level,
    security: bool,
    message: String,
    since: Instant,
    again: u64,
}

/// The target of messages about repetitions. They are never suppressed.
const REPEATED: &str = "partymeter::log";

/// The same for messages about security: a filter for [`SECURITY`] matches this target, too.
const REPEATED_SECURITY: &str = "partymeter::security::log";

impl Repeats {
    /// As a filter of a layer.
    pub(super) const fn filter(self: Arc<Self>) -> RepeatFilter {
        RepeatFilter(self)
    }

    /// Whether the message has not been shown within the window.
    fn is_new(
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

    /// Forgets messages after their window. Returns those that were repeated.
    fn over(&self, now: Instant) -> Vec<Shown> {
        let mut shown = self.lock();
        let over = shown.extract_if(|_, it| now.saturating_duration_since(it.since) >= WINDOW);
        over.map(|(_, it)| it).filter(|it| it.again > 0).collect()
    }

    /// Logs the repetitions.
    pub(super) fn report(&self) {
        for Shown {
            level,
            security,
            message,
            again,
            ..
        } in self.over(Instant::now())
        {
            let seconds = WINDOW.as_secs();
            macro_rules! report {
                ($target:ident: $($level:ident => $say:ident),*) => {
                    match level {
                        $(Level::$level => $say!(
                            target: $target, repeated = again, "{again} times more in {seconds} s: {message}"
                        )),*
                    }
                };
                ($target:ident) => {
                    report!($target: ERROR => error, WARN => warn, INFO => info, DEBUG => debug, TRACE => trace)
                };
            }
            if security {
                report!(REPEATED_SECURITY);
            } else {
                report!(REPEATED);
            }
        }
    }

    /// Ends the window of all messages.
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

/// Lets a message through once in a window.
pub(super) struct RepeatFilter(Arc<Repeats>);

impl<S: Subscriber> Filter<S> for RepeatFilter {
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
        self.0.is_new(
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
    fn repetitions_are_suppressed_and_counted() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        let new = |key, later: Duration| {
            repeats.is_new(
                key,
                (Level::WARN, false),
                || format!("message {key}"),
                now + later,
            )
        };
        assert!(new(1, Duration::ZERO));
        assert!(!new(1, Duration::from_secs(1)) && !new(1, Duration::from_secs(9)));
        assert!(new(2, Duration::from_secs(5)));
        assert!(repeats.over(now + Duration::from_secs(9)).is_empty());
        let over = repeats.over(now + WINDOW);
        let [
            Shown {
                again: 2, message, ..
            },
        ] = &over[..]
        else {
            panic!("{}", over.len())
        };
        assert_eq!(message, "message 1");
        // The second message was not repeated.
        assert!(new(1, WINDOW));
        assert!(repeats.over(now + WINDOW * 2).is_empty());
        assert!(new(2, WINDOW * 2));
    }

    #[test]
    fn the_number_of_remembered_messages_is_bounded() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        for key in 0..10 * MOST as u64 {
            assert!(repeats.is_new(key, (Level::INFO, false), String::new, now));
        }
        assert_eq!(repeats.lock().len(), MOST);
    }
}
