//! Asks the system's resolver for host names, many at a time and on threads of its own: a name that hangs delays
//! nothing but itself.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Names that are looked up at one time.
const THREADS: usize = 16;
/// And as many more in place of threads whose name has not been answered for [`OVERDUE`].
const MORE_THREADS: usize = 48;
/// Of [`THREADS`], those for names that took longer than [`SLOW`] the last time.
const SLOW_THREADS: usize = 8;
/// A resolver that works has answered by then.
const SLOW: Duration = Duration::from_secs(1);
/// After this long without an answer a name counts as not resolved, until it is answered. The C library tries a server
/// that does not answer for 5 s (resolv.conf(5)), and then the next.
pub(super) const OVERDUE: Duration = Duration::from_secs(10);

/// A name's addresses, or why it has none.
pub(super) type Addresses = Result<BTreeSet<IpAddr>, String>;

/// How one name is looked up; another way in tests.
type LookUp = fn(&str) -> Addresses;

/// Look-ups in the background. Clones share them.
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
    /// Names without an answer, and since when.
    pending: BTreeMap<String, Instant>,
    /// Those of them that no thread has begun with.
    queue: VecDeque<String>,
    /// Those that a thread has begun with, and since when.
    begun: BTreeMap<String, Instant>,
    /// Answers that nobody has taken yet.
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

    /// Looks these names up, but for those that are pending already, and forgets all others. Does not wait.
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
        let stuck = state.begun.values().filter(|it| it.elapsed() >= OVERDUE);
        let most = THREADS + stuck.count().min(MORE_THREADS);
        let wanted = most.min(state.threads + state.queue.len());
        while state.threads < wanted {
            let inner = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("resolver".to_owned());
            // Without a thread they wait for the next time that names are asked for.
            if thread.spawn(move || inner.work()).is_err() {
                break;
            }
            state.threads += 1;
        }
    }

    /// As [`Resolver::take`], once all these are answered or that time is over.
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

    /// The answers that have come since the last time, and a failure for each name that is overdue.
    pub(super) fn take(&self) -> BTreeMap<String, Addresses> {
        self.0.lock().take()
    }

    /// Waits until there may be something to take.
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

    /// The next name for a thread. Names that were slow leave threads for the others.
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

    /// Looks names up, and ends once there is none that it may begin with.
    fn work(&self) {
        let mut state = self.lock();
        while let Some(name) = state.next() {
            let was_slow = state.slow.contains(&name);
            state.slow_threads += usize::from(was_slow);
            let began = Instant::now();
            state.begun.insert(name.clone(), began);
            drop(state);
            let answer = (self.look_up)(&name);
            let is_slow = began.elapsed() > SLOW;
            state = self.lock();
            state.begun.remove(&name);
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

/// Asks the C library. Blocks as long as it does.
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
        // All six are under way by now, and stay so.
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
        // Until all have begun: there is no other sign of it.
        while resolver.0.lock().begun.len() < THREADS {
            thread::yield_now();
        }
        let long_ago = Instant::now().checked_sub(OVERDUE).unwrap();
        for since in resolver.0.lock().begun.values_mut() {
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
