//! From the kernel's counters to a sample. Pure, but for what it published last.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use agent_ebpf::{Counters, Histogram, Shown, Totals, latency};

use super::tables::Names;
use crate::sample::{Times, Traffic};

/// What was published of each slot. What may be corrected downwards begins with what the agent before this one has
/// published.
#[derive(Debug, Default)]
pub(super) struct Published(BTreeMap<u32, Totals>);

impl Published {
    /// What to publish now: `walk` is the last of the settle iterator. A counter never goes back: should the kernel
    /// side ever have to correct itself downwards, the larger figure stands until it is reached again.
    ///
    /// `clock` is the kernel's, in nanoseconds. A wait that is going on counts while it lasts; should it turn out to
    /// have been none, because something else was sent before anything came, the same holds.
    ///
    /// `note` keeps what the next agent is to begin with.
    pub(super) fn next(
        &mut self,
        names: &Names,
        (walk, clock): (u64, u64),
        counters: impl Fn(u32) -> Option<Counters>,
        note: impl Fn(u32, Shown),
        times: impl Fn(u32) -> Option<Times>,
    ) -> Vec<Traffic> {
        let mut traffic = Vec::with_capacity(names.slots.len());
        for (slot, labels) in &names.slots {
            let Some(now) = counters(*slot) else { continue };
            let nothing = now.totals == Totals::default();
            if nothing && names.seldom(*slot) && !self.0.contains_key(slot) {
                continue;
            }
            let totals = self.0.entry(*slot).or_insert_with(|| before(&now.shown));
            let here = now.walk == walk;
            let mut sums = now.totals;
            if here && now.open > 0 && now.sent != 0 {
                // Read after the sums: what has ended in between is in neither, and not in both.
                let since = counters(*slot).map_or(0, |later| later.sent);
                let lasts = if since == 0 {
                    0
                } else {
                    clock.saturating_sub(since)
                };
                sums.waited = sums.waited.wrapping_add(lasts);
            }
            advance(totals, &sums);
            if now.shown != shown(totals) {
                note(*slot, shown(totals));
            }
            let times = |number| match number {
                0 => None,
                number => times(number),
            };
            traffic.push(Traffic {
                party: Arc::clone(&labels.party),
                protocol: Arc::clone(&labels.protocol),
                transmit: totals.transmit,
                receive: totals.receive,
                retransmit: totals.retransmit,
                segments: totals.segments,
                opened: totals.opened,
                closed: totals.closed,
                failures: totals.failures,
                open: if here { u64::from(now.open) } else { 0 },
                smoothed_rtt: (here && now.measured > 0).then(|| mean(&now)),
                latency: times(now.latency),
                messages: totals.messages,
                rounds: totals.rounds,
                waiting: times(now.waiting),
                waited: Duration::from_nanos(totals.waited),
                unexpected: names.is_unknown(*slot),
                datagrams: names.is_udp(*slot),
            });
        }
        traffic
    }
}

/// What must never be less again, of what was published.
fn shown(totals: &Totals) -> Shown {
    Shown {
        transmit: totals.transmit,
        receive: totals.receive,
        received_messages: totals.messages[1],
        waited: totals.waited,
    }
}

/// What was published at least, by what was noted of it.
fn before(shown: &Shown) -> Totals {
    Totals {
        transmit: shown.transmit,
        receive: shown.receive,
        messages: [0, shown.received_messages],
        waited: shown.waited,
        ..Totals::default()
    }
}

fn advance(published: &mut Totals, now: &Totals) {
    // By name, so that none is forgotten.
    let Totals {
        transmit,
        receive,
        retransmit,
        segments,
        opened,
        closed,
        failures,
        messages,
        rounds,
        waited,
    } = now;
    let pairs = [
        (&mut published.transmit, transmit),
        (&mut published.receive, receive),
        (&mut published.retransmit, retransmit),
        (&mut published.failures, failures),
        (&mut published.rounds, rounds),
        (&mut published.waited, waited),
    ];
    let lists = published.segments.iter_mut().zip(segments);
    let lists = lists.chain(published.opened.iter_mut().zip(opened));
    let lists = lists.chain(published.closed.iter_mut().zip(closed));
    let lists = lists.chain(published.messages.iter_mut().zip(messages));
    for (published, now) in pairs.into_iter().chain(lists) {
        *published = forward(*published, *now);
    }
}

/// The mean smoothed round-trip time, in seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of 2^20 times of an hour is exact"
)]
fn mean(counters: &Counters) -> f64 {
    counters.smoothed as f64 / f64::from(counters.measured) / 8e6
}

/// From the kernel side's fine buckets to those of the page. A bucket that a bound cuts goes above it: no time is
/// said to be under a bound that it is not. With `fine` also to buckets of equal ratio.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a sum of microseconds is exact up to 285 years; there are 640 buckets"
)]
pub(super) fn in_classes(histogram: &Histogram, fine: bool) -> Times {
    let mut classes = Times {
        sum: histogram.sum as f64 / 1e6,
        fine: fine.then(Box::default),
        ..Times::default()
    };
    for (bucket, count) in histogram.buckets.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        let last = bucket + 1 == latency::BUCKETS;
        let longest = f64::from(latency::longest(bucket as u32)) / 1e6;
        let class = Times::BOUNDS.iter().position(|bound| longest <= *bound);
        let class = class.filter(|_| !last).unwrap_or(Times::BOUNDS.len());
        classes.buckets[class] += count;
        if let Some(fine) = &mut classes.fine {
            fine.add(if last { f64::INFINITY } else { longest }, *count);
        }
    }
    classes
}

/// The larger of two readings of a counter that wraps: also right where a correction took it below 0.
fn forward(before: u64, now: u64) -> u64 {
    if now.wrapping_sub(before).cast_signed() > 0 {
        now
    } else {
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::network::layout::Layout;

    fn names() -> Names {
        let config = crate::config::tests::minimal();
        Names::new(&config, &Layout::new(&config), true)
    }

    fn counters(transmit: u64) -> Counters {
        Counters {
            totals: Totals {
                transmit,
                ..Totals::default()
            },
            ..Counters::default()
        }
    }

    #[test]
    fn never_goes_back() {
        let names = names();
        let mut published = Published::default();
        let mut next = |value| {
            published.next(
                &names,
                (0, 0),
                |_| Some(counters(value)),
                |_, _| (),
                |_| None,
            )[0]
            .transmit
        };
        assert_eq!(next(u64::MAX), 0, "a correction below 0 shows as nothing");
        assert_eq!(next(10), 10);
        assert_eq!(next(9), 10);
        assert_eq!(next(11), 11);
    }

    #[test]
    fn the_next_agent_does_not_go_back_either() {
        let names = names();
        let noted = std::cell::Cell::new(Shown::default());
        let at = |published: &mut Published, value| {
            let mut now = counters(value);
            now.shown = noted.get();
            let next = published.next(
                &names,
                (0, 0),
                |slot| (slot % 10 == 1).then_some(now),
                |_, shown| noted.set(shown),
                |_| None,
            );
            next[0].transmit
        };
        assert_eq!(at(&mut Published::default(), 10), 10);
        let mut next = Published::default();
        assert_eq!((at(&mut next, 9), at(&mut next, 11)), (10, 11));
    }

    #[test]
    fn what_an_older_walk_found_is_not_open() {
        let names = names();
        let mut published = Published::default();
        let found = Counters {
            walk: 7,
            open: 3,
            measured: 2,
            smoothed: 8 * (100 + 300),
            ..counters(1)
        };
        let mut at = |walk| {
            let traffic = published.next(&names, (walk, 0), |_| Some(found), |_, _| (), |_| None);
            (traffic[0].open, traffic[0].smoothed_rtt)
        };
        assert_eq!(at(7), (3, Some(0.000_2)));
        assert_eq!(at(8), (0, None));
    }

    #[test]
    fn a_wait_counts_while_it_lasts_and_nothing_is_taken_back() {
        const WALK: u64 = 7;
        let names = names();
        let mut published = Published::default();
        let waiting = |waited, sent, open| Counters {
            walk: WALK,
            open,
            sent,
            totals: Totals {
                waited,
                ..Totals::default()
            },
            ..Counters::default()
        };
        let mut at = |clock, found| {
            let next = published.next(&names, (WALK, clock), |_| Some(found), |_, _| (), |_| None);
            next[0].waited.as_nanos()
        };
        assert_eq!(at(1000, waiting(0, 900, 1)), 100);
        assert_eq!(at(2000, waiting(0, 900, 1)), 1100);
        assert_eq!(at(3000, waiting(1200, 0, 1)), 1200, "answered at 2100");
        assert_eq!(at(4000, waiting(1200, 3500, 1)), 1700);
        // It went on sending: that was no wait, and makes up for the next.
        assert_eq!(at(5000, waiting(1200, 4900, 1)), 1700);
        assert_eq!(at(6000, waiting(1200, 4900, 1)), 2300);
        assert_eq!(at(7000, waiting(1200, 4900, 0)), 2300, "all are closed");
        assert_eq!(
            at(7000, waiting(1200, 8000, 1)),
            2300,
            "sent after the clock was read"
        );
    }

    #[test]
    fn a_wait_that_ends_between_two_looks_counts_once() {
        let names = names();
        let mut published = Published::default();
        let reads = std::cell::Cell::new(0);
        let traffic = published.next(
            &names,
            (0, 1000),
            |slot| {
                if slot % 10 != 1 {
                    return None;
                }
                reads.set(reads.get() + 1);
                let (waited, sent) = if reads.get() == 1 {
                    (50, 400)
                } else {
                    (650, 0)
                };
                let mut found = Counters {
                    open: 1,
                    sent,
                    ..counters(1)
                };
                found.totals.waited = waited;
                Some(found)
            },
            |_, _| (),
            |_| None,
        );
        assert_eq!(traffic[0].waited.as_nanos(), 50);
    }

    #[test]
    fn times_are_counted_under_bounds_that_they_do_not_exceed() {
        let mut histogram = Histogram {
            sum: 0,
            buckets: [0; latency::BUCKETS],
        };
        for time in [50, 51, 9_000, 10_000_000, 12_000_000, u32::MAX] {
            histogram.buckets[latency::bucket(time) as usize] += 1;
            histogram.sum += u64::from(time);
        }
        let classes = in_classes(&histogram, true);
        let under = |bound: f64| {
            let bounds = Times::BOUNDS.iter().zip(&classes.buckets);
            let counts = bounds
                .filter(|(it, _)| **it <= bound)
                .map(|(_, count)| count);
            counts.sum::<u64>()
        };
        assert_eq!(under(0.000_05), 1);
        assert_eq!(under(0.000_1), 2);
        assert_eq!((under(0.005), under(0.01)), (2, 3));
        // 10 s lies inside a bucket that the bound cuts.
        assert_eq!(under(10.0), 3);
        assert_eq!(classes.buckets.iter().sum::<u64>(), 6);
        assert!(
            (classes.sum - 4_316.976_396).abs() < 1e-6,
            "{}",
            classes.sum
        );
    }

    #[test]
    fn pairs_without_a_protocol_are_shown_once_they_have_counted() {
        let names = names();
        let mut published = Published::default();
        let mut shown = |value| {
            let traffic = published.next(
                &names,
                (0, 0),
                |_| Some(counters(value)),
                |_, _| (),
                |_| None,
            );
            traffic
                .into_iter()
                .map(|it| it.protocol.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(0), ["test"]);
        assert_eq!(shown(1), ["other", "test"]);
        assert_eq!(shown(1), ["other", "test"]);
    }
}
