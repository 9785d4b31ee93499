//! Gaps: times in which a program should have been attached and was not. How often, how long, logged once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use agent_ebpf::program;
use tracing::{info, warn};

use crate::sample;

/// The gaps so far, by program.
#[derive(Debug)]
pub(super) struct AttachmentGaps {
    /// When all programs without a known gap were last found attached.
    last_checked: Instant,
    all: BTreeMap<&'static str, Gap>,
}

#[derive(Debug, Default)]
struct Gap {
    count: u64,
    /// Length of the gaps that are over. An upper bound: a gap starts when the program was last seen attached.
    total: Duration,
    ongoing: Option<Ongoing>,
}

#[derive(Debug)]
struct Ongoing {
    /// The earliest time that it can have started.
    since: Instant,
    /// Why the program cannot be attached again.
    why: String,
    /// Whether another program counts the same from then on, which ends the gap.
    replaced: bool,
}

/// What became of a detached program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is attached again.
    Attached,
    /// It cannot be attached; the tracepoint replaces it.
    Replaced(String),
    /// It cannot be attached.
    Detached(String),
}

impl AttachmentGaps {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last_checked: now,
            all: BTreeMap::new(),
        }
    }

    /// Registers attached programs, so that their figures start at 0.
    pub(super) fn register(&mut self, programs: Vec<&'static str>) {
        for program in programs {
            self.all.entry(program).or_default();
        }
    }

    /// Records what became of a program. Returns whether a gap is new or over.
    pub(super) fn record(&mut self, program: &'static str, outcome: Outcome, now: Instant) -> bool {
        let gap = self.all.entry(program).or_default();
        let before = gap.ongoing.take();
        let begins = before.is_none();
        gap.count += u64::from(begins);
        let was_replaced = before.as_ref().is_some_and(|it| it.replaced);
        let since = before.as_ref().map_or(self.last_checked, |it| it.since);
        let lasted = now.saturating_duration_since(since);
        let seconds = lasted.as_secs_f64();
        let lost = uncounted(program);
        let logged = |why: &str| before.as_ref().is_some_and(|it| it.why == why);
        let (why, replaced) = match outcome {
            Outcome::Attached => {
                if !was_replaced {
                    gap.total += lasted;
                }
                if begins {
                    warn!(
                        program,
                        "the program {program} was detached and is attached again; {lost} of at most {seconds:.1} s are not \
                         counted"
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
                if !logged(&why) {
                    warn!(
                        program,
                        "the program {program} was detached and the tracepoint replaces it; {lost} of at most {seconds:.1} s are \
                         not counted: {why}; retrying every round"
                    );
                }
                (why, true)
            }
            Outcome::Detached(why) => {
                if !logged(&why) {
                    warn!(
                        program,
                        "the program {program} was detached; {lost} are not counted: {why}; retrying every round"
                    );
                }
                (why, false)
            }
        };
        gap.ongoing = Some(Ongoing {
            since,
            why,
            replaced,
        });
        begins
    }

    /// All programs without a known gap were found attached.
    pub(super) fn checked(&mut self, now: Instant) {
        self.last_checked = now;
    }

    /// The ongoing gaps, one line each.
    pub(super) fn limits(&self) -> impl Iterator<Item = String> {
        let ongoing = self
            .all
            .iter()
            .filter_map(|(program, gap)| Some((program, gap.ongoing.as_ref()?)));
        ongoing.map(|(program, Ongoing { why, replaced, .. })| {
            let lost = uncounted(program);
            if *replaced {
                format!("round-trip times are sampled: the program {program} was detached ({why})")
            } else {
                format!("{lost} are not counted: the program {program} was detached ({why})")
            }
        })
    }

    pub(super) fn sample(&self, now: Instant) -> Vec<sample::Gap> {
        let all = self.all.iter();
        all.map(|(program, gap)| {
            let ongoing = gap.ongoing.as_ref().filter(|it| !it.replaced);
            let lasts = ongoing.map(|it| now.saturating_duration_since(it.since));
            sample::Gap {
                program,
                count: gap.count,
                seconds: (gap.total + lasts.unwrap_or_default()).as_secs_f64(),
            }
        })
        .collect()
    }
}

/// What is not counted without a program.
fn uncounted(program: &str) -> &'static str {
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
        let mut gaps = AttachmentGaps::new(start);
        gaps.register(vec![program::SENT, program::SOCKET_EVENTS]);
        let figures = |gaps: &AttachmentGaps, seconds| {
            let all = gaps.sample(at(seconds)).into_iter();
            all.map(|it| (it.program, it.count, it.seconds))
                .collect::<Vec<_>>()
        };
        let none = (program::SENT, 0, 0.0);
        assert_eq!(figures(&gaps, 5), [none, (program::SOCKET_EVENTS, 0, 0.0)]);
        gaps.checked(at(10));
        // Detached some time after the last check, and back at once.
        assert!(gaps.record(program::SOCKET_EVENTS, Outcome::Attached, at(12)));
        assert_eq!(figures(&gaps, 13), [none, (program::SOCKET_EVENTS, 1, 2.0)]);
        assert_eq!(gaps.limits().count(), 0);
        gaps.checked(at(20));
        let refused = || Outcome::Detached("no".to_owned());
        assert!(gaps.record(program::SOCKET_EVENTS, refused(), at(21)));
        gaps.checked(at(21));
        assert!(
            !gaps.record(program::SOCKET_EVENTS, refused(), at(22)),
            "no news"
        );
        assert_eq!(figures(&gaps, 24), [none, (program::SOCKET_EVENTS, 2, 6.0)]);
        assert_eq!(
            gaps.limits().collect::<Vec<_>>(),
            [
                "connections that begin or end meanwhile are not counted: the program socket_events was detached (no)"
            ]
        );
        gaps.checked(at(24));
        assert!(gaps.record(program::SOCKET_EVENTS, Outcome::Attached, at(25)));
        assert_eq!(figures(&gaps, 30), [none, (program::SOCKET_EVENTS, 2, 7.0)]);
        assert_eq!(gaps.limits().count(), 0);
    }

    #[test]
    fn a_gap_ends_where_something_else_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gaps = AttachmentGaps::new(start);
        let replaced = || Outcome::Replaced("no".to_owned());
        assert!(gaps.record(program::SOCKET_EVENTS, replaced(), at(2)));
        assert!(!gaps.record(program::SOCKET_EVENTS, replaced(), at(3)));
        let seconds = |gaps: &AttachmentGaps, now| {
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
        assert!(gaps.record(program::SOCKET_EVENTS, Outcome::Attached, at(10)));
        assert_eq!(
            (seconds(&gaps, 11), gaps.limits().count()),
            (vec![(1, 2.0)], 0)
        );
    }
}
