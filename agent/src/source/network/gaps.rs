//! Times in which a program was not attached that should have been: how often, how long, and said once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use agent_ebpf::program;
use tracing::{info, warn};

use crate::sample;

/// What was found so far, by program.
#[derive(Debug)]
pub(super) struct Gaps {
    /// When all were found attached last, but those of which it is known.
    looked: Instant,
    all: BTreeMap<&'static str, Gap>,
}

#[derive(Debug, Default)]
struct Gap {
    count: u64,
    /// Of those that are over. At most: from the last look that found the program attached.
    total: Duration,
    /// The program is detached.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Since when at the earliest.
    since: Instant,
    /// Why it is not attached again.
    why: String,
    /// Whether something else counts the same from then on: the gap is over then.
    replaced: bool,
}

/// What became of a program that somebody has detached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is attached again.
    Attached,
    /// It cannot be, and the tracepoint does what it did.
    Replaced(String),
    /// It cannot be.
    Detached(String),
}

impl Gaps {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            looked: now,
            all: BTreeMap::new(),
        }
    }

    /// Programs that are attached: they have a figure from the start.
    pub(super) fn watch(&mut self, programs: Vec<&'static str>) {
        for program in programs {
            self.all.entry(program).or_default();
        }
    }

    /// Takes in what became of a program. Returns whether that is news.
    pub(super) fn found(&mut self, program: &'static str, outcome: Outcome, now: Instant) -> bool {
        let gap = self.all.entry(program).or_default();
        let before = gap.open.take();
        let begins = before.is_none();
        gap.count += u64::from(begins);
        let was_replaced = before.as_ref().is_some_and(|it| it.replaced);
        let since = before.as_ref().map_or(self.looked, |it| it.since);
        let lasted = now.saturating_duration_since(since);
        let seconds = lasted.as_secs_f64();
        let lost = what(program);
        let told = |why: &str| before.as_ref().is_some_and(|it| it.why == why);
        let (why, replaced) = match outcome {
            Outcome::Attached => {
                if !was_replaced {
                    gap.total += lasted;
                }
                if begins {
                    warn!(
                        program,
                        "somebody has detached the program {program}; it is attached again, and of at most {seconds:.1} s \
                         {lost} are not counted"
                    );
                } else {
                    info!(program, "the program {program} is attached again");
                }
                return true;
            }
            Outcome::Replaced(why) => {
                if !was_replaced {
                    gap.total += lasted;
                }
                if !told(&why) {
                    warn!(
                        program,
                        "somebody has detached the program {program}; the tracepoint counts instead, and of at most \
                         {seconds:.1} s {lost} are not counted: {why}; tried again every round"
                    );
                }
                (why, true)
            }
            Outcome::Detached(why) => {
                if !told(&why) {
                    warn!(
                        program,
                        "somebody has detached the program {program}, {lost} are not counted: {why}; tried again every round"
                    );
                }
                (why, false)
            }
        };
        gap.open = Some(Open {
            since,
            why,
            replaced,
        });
        begins
    }

    /// All that are not known to be detached were found attached.
    pub(super) fn looked(&mut self, now: Instant) {
        self.looked = now;
    }

    /// What goes on, in one line each.
    pub(super) fn limits(&self) -> impl Iterator<Item = String> {
        let open = self
            .all
            .iter()
            .filter_map(|(program, gap)| Some((program, gap.open.as_ref()?)));
        open.map(|(program, Open { why, replaced, .. })| {
            let lost = what(program);
            if *replaced {
                format!("round-trip times are sampled: somebody has detached the program {program} ({why})")
            } else {
                format!("{lost} are not counted: somebody has detached the program {program} ({why})")
            }
        })
    }

    /// The figures.
    pub(super) fn sample(&self, now: Instant) -> Vec<sample::Gap> {
        let all = self.all.iter();
        all.map(|(program, gap)| {
            let open = gap.open.as_ref().filter(|it| !it.replaced);
            let lasts = open.map(|it| now.saturating_duration_since(it.since));
            sample::Gap {
                program,
                count: gap.count,
                seconds: (gap.total + lasts.unwrap_or_default()).as_secs_f64(),
            }
        })
        .collect()
    }
}

/// What is missed without a program.
fn what(program: &str) -> &'static str {
    match program {
        program::SENT | program::RECEIVED | program::SENT_AT_EXIT | program::RECEIVED_AT_EXIT => {
            "messages, rounds and waits"
        }
        program::DATAGRAMS_OUT | program::DATAGRAMS_IN => "datagrams",
        program::DATAGRAMS_REFUSED | program::DATAGRAMS_REFUSED_AT_EXIT => {
            "datagrams that a full receive buffer refuses"
        }
        _ => "connections that begin or end meanwhile",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_once_and_for_as_long_as_it_may_have_been() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gaps = Gaps::new(start);
        gaps.watch(vec![program::SENT, program::SOCKET_EVENTS]);
        let figures = |gaps: &Gaps, seconds| {
            let all = gaps.sample(at(seconds)).into_iter();
            all.map(|it| (it.program, it.count, it.seconds))
                .collect::<Vec<_>>()
        };
        let none = (program::SENT, 0, 0.0);
        assert_eq!(figures(&gaps, 5), [none, (program::SOCKET_EVENTS, 0, 0.0)]);
        gaps.looked(at(10));
        // Detached some time after the last look, and back at once.
        assert!(gaps.found(program::SOCKET_EVENTS, Outcome::Attached, at(12)));
        assert_eq!(figures(&gaps, 13), [none, (program::SOCKET_EVENTS, 1, 2.0)]);
        assert_eq!(gaps.limits().count(), 0);
        gaps.looked(at(20));
        let refused = || Outcome::Detached("no".to_owned());
        assert!(gaps.found(program::SOCKET_EVENTS, refused(), at(21)));
        gaps.looked(at(21));
        assert!(
            !gaps.found(program::SOCKET_EVENTS, refused(), at(22)),
            "no news"
        );
        assert_eq!(figures(&gaps, 24), [none, (program::SOCKET_EVENTS, 2, 6.0)]);
        assert_eq!(
            gaps.limits().collect::<Vec<_>>(),
            [
                "connections that begin or end meanwhile are not counted: somebody has detached the program socket_events (no)"
            ]
        );
        gaps.looked(at(24));
        assert!(gaps.found(program::SOCKET_EVENTS, Outcome::Attached, at(25)));
        assert_eq!(figures(&gaps, 30), [none, (program::SOCKET_EVENTS, 2, 7.0)]);
        assert_eq!(gaps.limits().count(), 0);
    }

    #[test]
    fn a_gap_ends_where_something_else_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gaps = Gaps::new(start);
        let replaced = || Outcome::Replaced("no".to_owned());
        assert!(gaps.found(program::SOCKET_EVENTS, replaced(), at(2)));
        assert!(!gaps.found(program::SOCKET_EVENTS, replaced(), at(3)));
        let seconds = |gaps: &Gaps, now| {
            gaps.sample(at(now))
                .into_iter()
                .map(|it| (it.count, it.seconds))
                .collect::<Vec<_>>()
        };
        assert_eq!(seconds(&gaps, 9), [(1, 2.0)]);
        assert!(
            gaps.limits()
                .all(|it| it.starts_with("round-trip times are sampled"))
        );
        assert!(gaps.found(program::SOCKET_EVENTS, Outcome::Attached, at(10)));
        assert_eq!(
            (seconds(&gaps, 11), gaps.limits().count()),
            (vec![(1, 2.0)], 0)
        );
    }
}
