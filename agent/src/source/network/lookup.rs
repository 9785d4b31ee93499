//! Resolves host names on threads of its own, many at a time: a name that hangs delays only itself.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Concurrent look-ups.
const THREADS: usize = 16;
/// Extra threads that may replace those stuck for [`OVERDUE`].
const MORE_THREADS: usize = 48;
/// How many of [`THREADS`] may serve names that were slow the last time.
const SLOW_THREADS: usize = 8;
/// A working resolver answers sooner.
const SLOW: Duration = Duration::from_secs(1);
/// A name without an answer for this long counts as unresolved until it is answered. The C library waits 5 s for each
/// server (resolv.conf(5)).
pub(super) const OVERDUE: Duration = Duration::from_secs(10);

/// A name's addresses, or why it has none.
pub(super) type Addresses = Result<BTreeSet<IpAddr>, String>;

/// How to look up a name; tests replace it.
type LookUp = fn(&str) -> Addresses;

/// Look-ups in the background, shared by all clones.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    look_up: LookUp,
    state: Mutex<State>,
    answered: Condvar,
    notify: Notify,
}

#[derive(Default)]
struct State {
    /// Unanswered names, and since when.
    pending: BTreeMap<String, Instant>,
    /// Pending names that no thread has taken.
    queue: VecDeque<String>,
    /// Names that a thread has taken, and since when.
    started: BTreeMap<String, Instant>,
    /// Answers that have not been taken.
    answers: BTreeMap<String, Addresses>,
    /// Names that took longer than [`SLOW`] the last time.
    slow: BTreeSet<String>,
    threads: usize,
    slow_threads: usize,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with(system)
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    fn with(look_up: LookUp) -> Self {
        Self(Arc::new(Inner {
            look_up,
            state: Mutex::default(),
            answered: Condvar::new(),
            notify: Notify::new(),
        }))
    }

    /// Looks up these names, except those already pending, and forgets all others. Does not wait.
    pub(super) fn ask(&self, names: &BTreeSet<&str>) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let mut dropped = Vec::new();
        state.queue.retain(|name| {
            let wanted = names.contains(&**name);
            if !wanted {
                dropped.push(name.clone());
            }
            wanted
        });
        for name in dropped {
            state.pending.remove(&name);
        }
        state.slow.retain(|name| names.contains(&**name));
        let now = Instant::now();
        for name in names {
            if !state.pending.contains_key(*name) {
                state.pending.insert((*name).to_owned(), now);
                state.queue.push_back((*name).to_owned());
            }
        }
        let stuck = state.started.values().filter(|it| it.elapsed() >= OVERDUE);
        let most = THREADS + stuck.count().min(MORE_THREADS);
        let wanted = most.min(state.threads + state.queue.len());
        while state.threads < wanted {
            let inner = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("resolver".to_owned());
            // Without a thread the names wait for the next call.
            if thread.spawn(move || inner.work()).is_err() {
                break;
            }
            state.threads += 1;
        }
    }

    /// As [`Resolver::take`], after all names are answered or `patience` has passed.
    pub(super) fn wait(
        &self,
        names: &BTreeSet<&str>,
        patience: Duration,
    ) -> BTreeMap<String, Addresses> {
        let until = Instant::now() + patience;
        let mut state = self.0.lock();
        let mut missing = names.iter().peekable();
        loop {
            while missing
                .next_if(|name| state.answers.contains_key(**name))
                .is_some()
            {}
            if missing.peek().is_none() {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.answered.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.take()
    }

    /// The answers since the last call, and a failure for each overdue name.
    pub(super) fn take(&self) -> BTreeMap<String, Addresses> {
        self.0.lock().take()
    }

    /// Waits until there may be answers to take.
    pub async fn answered(&self) {
        self.0.notify.notified().await;
    }
}

impl State {
    fn take(&mut self) -> BTreeMap<String, Addresses> {
        let mut answers = std::mem::take(&mut self.answers);
        for (name, since) in &self.pending {
            if since.elapsed() >= OVERDUE {
                answers.insert(name.clone(), Err(no_answer(OVERDUE)));
            }
        }
        answers
    }

    /// The next name for a thread. Slow names leave threads for the others.
    fn next(&mut self) -> Option<String> {
        let quick = self.queue.iter().position(|it| !self.slow.contains(it));
        let slow = (self.slow_threads < SLOW_THREADS).then_some(0);
        self.queue.remove(quick.or(slow)?)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up names until none is left that it may take.
    fn work(&self) {
        let mut state = self.lock();
        while let Some(name) = state.next() {
            let was_slow = state.slow.contains(&name);
            state.slow_threads += usize::from(was_slow);
            let began = Instant::now();
            state.started.insert(name.clone(), began);
            drop(state);
            let answer = (self.look_up)(&name);
            let is_slow = began.elapsed() > SLOW;
            state = self.lock();
            state.started.remove(&name);
            state.slow_threads -= usize::from(was_slow);
            if is_slow {
                state.slow.insert(name.clone());
            } else {
                state.slow.remove(&name);
            }
            state.pending.remove(&name);
            state.answers.insert(name, answer);
            self.answered.notify_all();
            self.notify.notify_one();
        }
        state.threads -= 1;
    }
}

/// Why a name has no addresses yet.
pub(super) fn no_answer(patience: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(patience))
}

/// Asks the C library and blocks as long as it does.
fn system(name: &str) -> Addresses {
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let found = found.map(|address| address.ip().to_canonical());
            Some(found.collect::<BTreeSet<_>>())
                .filter(|found| !found.is_empty())
                .ok_or_else(|| "it has no address".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Longer than any test takes.
    const FOREVER: Duration = Duration::from_mins(10);

    fn names(names: &[String]) -> BTreeSet<&str> {
        names.iter().map(String::as_str).collect()
    }

    fn hang_or_answer(name: &str) -> Addresses {
        if name == "none" {
            return Err("it has no address".to_owned());
        }
        if name.starts_with("hang") {
            thread::sleep(FOREVER);
        }
        Ok([IpAddr::from([10, 0, 0, 1])].into())
    }

    #[test]
    fn names_that_hang_delay_no_other_and_none_is_asked_twice() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::with(|name| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            hang_or_answer(name)
        });
        let hang: Vec<String> = (0..6).map(|it| format!("hang{it}")).collect();
        let quick: Vec<String> = (0..4000).map(|it| format!("quick{it}")).collect();
        let all: BTreeSet<&str> = names(&hang).union(&names(&quick)).copied().collect();
        resolver.ask(&all);
        let mut answers = resolver.wait(&names(&quick), FOREVER);
        assert!(answers.remove("quick7").unwrap().is_ok());
        answers.retain(|_, answer| answer.is_ok());
        assert_eq!(answers.len(), quick.len() - 1);
        // All six have started by now and hang.
        resolver.ask(&names(&hang));
        assert!(
            !resolver
                .wait(&names(&hang), Duration::ZERO)
                .contains_key("quick1")
        );
        assert_eq!(ASKED.load(Ordering::SeqCst), 4006);
        assert!(resolver.0.lock().threads <= THREADS);
    }

    #[test]
    fn threads_that_are_stuck_are_replaced() {
        let resolver = Resolver::with(hang_or_answer);
        let hang: Vec<String> = (0..THREADS).map(|it| format!("hang{it}")).collect();
        resolver.ask(&names(&hang));
        // Nothing else shows that all have started.
        while resolver.0.lock().started.len() < THREADS {
            thread::yield_now();
        }
        let long_ago = Instant::now().checked_sub(OVERDUE).unwrap();
        for since in resolver.0.lock().started.values_mut() {
            *since = long_ago;
        }
        resolver.ask(&["none", "quick"].into());
        let answers = resolver.wait(&["none", "quick"].into(), FOREVER);
        assert!(answers["quick"].is_ok() && answers["none"].is_err());
    }

    #[test]
    fn names_that_were_slow_leave_threads_for_the_others() {
        let resolver = Resolver::with(hang_or_answer);
        let mut all: Vec<String> = (0..20).map(|it| format!("hang{it}")).collect();
        resolver.0.lock().slow.extend(all.iter().cloned());
        all.push("last".to_owned());
        resolver.ask(&names(&all));
        let answers = resolver.wait(&["last"].into(), FOREVER);
        assert!(answers["last"].is_ok());
        assert!(resolver.0.lock().slow_threads <= SLOW_THREADS);
    }

    #[test]
    fn a_name_that_is_overdue_is_a_failure_until_it_is_answered() {
        let resolver = Resolver::with(hang_or_answer);
        resolver.ask(&["hang"].into());
        assert!(resolver.take().is_empty());
        let long_ago = Instant::now().checked_sub(OVERDUE).unwrap();
        resolver
            .0
            .lock()
            .pending
            .insert("hang".to_owned(), long_ago);
        let answers = resolver.take();
        assert_eq!(answers["hang"], Err("no answer within 10s".to_owned()));
    }

    #[test]
    fn a_name_that_is_not_wanted_any_more_leaves_the_queue() {
        let resolver = Resolver::with(hang_or_answer);
        let all: Vec<String> = (0..40).map(|it| format!("hang{it}")).collect();
        resolver.ask(&names(&all));
        resolver.ask(&["other"].into());
        let state = resolver.0.lock();
        assert!(state.queue.iter().all(|name| name == "other"));
        assert!(state.pending.len() <= THREADS + 1, "{:?}", state.pending);
    }
}
