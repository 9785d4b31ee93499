//! Waiting for what must come: by looking, never by a fixed time.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long anything may take that takes a moment on an idle machine; long enough for a busy one.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something, and returns it. `state` is what the failure shows.
pub fn until<T, S: std::fmt::Display>(
    mut look: impl FnMut() -> Option<T>,
    state: impl FnOnce() -> S,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {}", state());
        sleep(LOOK);
    }
}

/// Looks until it holds.
pub fn until_true<S: std::fmt::Display>(
    mut holds: impl FnMut() -> bool,
    state: impl FnOnce() -> S,
) {
    until(|| holds().then_some(()), state);
}
