//! From the kernel's counters to a sample. Pure, except that it remembers what it published last.

use std::{collections::BTreeMap, mem::offset_of, sync::Arc, time::Duration};

use agent_ebpf::{Counters, Histogram, Shown, Totals, latency};

use super::slot_names::{Labels, SlotNames};
use crate::sample::{Times, Traffic};

// The kernel side clears `sent` before it adds to `waited`, and a slot is copied in ascending order: a wait that ends
// meanwhile is in neither, and never in both.
const _: () =
    assert!(offset_of!(Counters, sent) > offset_of!(Counters, totals) + offset_of!(Totals, waited));

/// The last settle.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settle {
    /// Its number, as [`agent_ebpf::Control::walk`].
    pub(super) walk: u64,
    /// The kernel's clock at its end. Unit: nanoseconds.
    pub(super) clock: u64,
}

/// One slot, read once after a settle.
#[derive(Debug, Default)]
pub(super) struct SlotReading {
    pub(super) counters: Counters,
    /// `None` while the slot has no histogram.
    pub(super) latency: Option<Times>,
    /// Likewise.
    pub(super) waiting: Option<Times>,
}

/// What was published of each slot. Sums that may be corrected downwards begin with what the previous agent published.
#[derive(Debug, Default)]
pub(super) struct Published(BTreeMap<u32, Totals>);

impl Published {
    /// What to publish of a slot, and what the next agent must begin with; `None` while the slot is hidden.
    ///
    /// A counter never goes back: if the kernel side corrects itself downwards, the larger figure stands until it is
    /// reached again. The same holds for a wait: it counts while it lasts, and turns out to be none if the party sends
    /// again before it receives.
    pub(super) fn next(
        &mut self,
        names: &SlotNames,
        (slot, labels): (u32, &Labels),
        reading: SlotReading,
        settle: Settle,
    ) -> Option<(Traffic, Shown)> {
        let SlotReading {
            counters,
            latency,
            waiting,
        } = reading;
        let is_zero = counters.totals == Totals::default();
        if is_zero && names.is_hidden_while_zero(slot) && !self.0.contains_key(&slot) {
            return None;
        }
        let mut sums = counters.totals;
        let is_current = counters.walk == settle.walk;
        if is_current && counters.open > 0 && counters.sent != 0 {
            let lasts = settle.clock.saturating_sub(counters.sent);
            sums.waited = sums.waited.wrapping_add(lasts);
        }
        let totals = self
            .0
            .entry(slot)
            .or_insert_with(|| initial(&counters.shown));
        advance(totals, &sums);
        let traffic = Traffic {
            party: Arc::clone(&labels.party),
            protocol: Arc::clone(&labels.protocol),
            transmit: totals.transmit,
            receive: totals.receive,
            retransmit: totals.retransmit,
            segments: totals.segments,
            opened: totals.opened,
            closed: totals.closed,
            failures: totals.failures,
            open: if is_current {
                u64::from(counters.open)
            } else {
                0
            },
            smoothed_rtt: (is_current && counters.measured > 0).then(|| mean(&counters)),
            latency,
            messages: totals.messages,
            rounds: totals.rounds,
            waiting,
            waited: Duration::from_nanos(totals.waited),
            unexpected: names.is_unknown(slot),
            datagrams: names.is_udp(slot),
        };
        Some((traffic, shown(totals)))
    }
}

/// The published sums that must never shrink.
fn shown(totals: &Totals) -> Shown {
    Shown {
        transmit: totals.transmit,
        receive: totals.receive,
        received_messages: totals.messages[1],
        waited: totals.waited,
    }
}

/// The least that was published before, from what the previous agent noted.
fn initial(shown: &Shown) -> Totals {
    Totals {
        transmit: shown.transmit,
        receive: shown.receive,
        messages: [0, shown.received_messages],
        waited: shown.waited,
        ..Totals::default()
    }
}

fn advance(published: &mut Totals, now: &Totals) {
    // Named one by one, so that none is forgotten.
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
        *published = larger(*published, *now);
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

/// Converts the kernel side's fine buckets to those of the page. A bucket that a bound cuts counts above the bound: no
/// time is reported under a bound that it may exceed. `fine` adds exponential buckets.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a sum of microseconds is exact up to 285 years; there are 640 buckets"
)]
pub(super) fn to_page_buckets(histogram: &Histogram, fine: bool) -> Times {
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

/// The larger of two readings of a wrapping counter, even if a correction took it below 0.
fn larger(initial: u64, now: u64) -> u64 {
    if now.wrapping_sub(initial).cast_signed() > 0 {
        now
    } else {
        initial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::network::layout::Layout;

    fn names() -> SlotNames {
        let config = crate::config::tests::minimal();
        SlotNames::new(&config, &Layout::new(&config), true)
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

    /// Publishes one reading for every slot.
    fn next(
        published: &mut Published,
        counters: Counters,
        settle: Settle,
    ) -> Vec<(Traffic, Shown)> {
        let names = names();
        let slots = names.slots.iter().map(|(slot, labels)| (*slot, labels));
        slots
            .filter_map(|slot| {
                let reading = SlotReading {
                    counters,
                    ..SlotReading::default()
                };
                published.next(&names, slot, reading, settle)
            })
            .collect()
    }

    #[test]
    fn never_goes_back() {
        let mut published = Published::default();
        let mut transmit = |value| {
            next(&mut published, counters(value), Settle::default())[0]
                .0
                .transmit
        };
        assert_eq!(
            transmit(u64::MAX),
            0,
            "a correction below 0 shows as nothing"
        );
        assert_eq!(transmit(10), 10);
        assert_eq!(transmit(9), 10);
        assert_eq!(transmit(11), 11);
    }

    #[test]
    fn the_next_agent_does_not_go_back_either() {
        let mut kept = Shown::default();
        let mut transmit = |published: &mut Published, value| {
            let mut now = counters(value);
            now.shown = kept;
            let (traffic, shown) = next(published, now, Settle::default()).remove(0);
            kept = shown;
            traffic.transmit
        };
        assert_eq!(transmit(&mut Published::default(), 10), 10);
        let mut second = Published::default();
        assert_eq!(transmit(&mut second, 9), 10);
        assert_eq!(transmit(&mut second, 11), 11);
    }

    #[test]
    fn what_an_older_walk_found_is_not_open() {
        let mut published = Published::default();
        let found = Counters {
            walk: 7,
            open: 3,
            measured: 2,
            smoothed: 8 * (100 + 300),
            ..counters(1)
        };
        let mut at = |walk| {
            let (traffic, _) = next(&mut published, found, Settle { walk, clock: 0 }).remove(0);
            (traffic.open, traffic.smoothed_rtt)
        };
        assert_eq!(at(7), (3, Some(0.000_2)));
        assert_eq!(at(8), (0, None));
    }

    #[test]
    fn a_wait_counts_while_it_lasts_and_nothing_is_taken_back() {
        const WALK: u64 = 7;
        let mut published = Published::default();
        let waiting = |waited, sent, open| Counters {
            walk: WALK,
            open,
            sent,
            totals: Totals {
                waited,
                transmit: 1,
                ..Totals::default()
            },
            ..Counters::default()
        };
        let mut at = |clock, found| {
            let settle = Settle { walk: WALK, clock };
            next(&mut published, found, settle)[0].0.waited.as_nanos()
        };
        assert_eq!(at(1000, waiting(0, 900, 1)), 100);
        assert_eq!(at(2000, waiting(0, 900, 1)), 1100);
        assert_eq!(at(3000, waiting(1200, 0, 1)), 1200, "answered at 2100");
        assert_eq!(at(4000, waiting(1200, 3500, 1)), 1700);
        // The party sent again: that was no wait, and makes up for the next one.
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
    fn times_are_counted_under_bounds_that_they_do_not_exceed() {
        let mut histogram = Histogram {
            sum: 0,
            buckets: [0; latency::BUCKETS],
        };
        for time in [50, 51, 9_000, 10_000_000, 12_000_000, u32::MAX] {
            histogram.buckets[latency::bucket(time) as usize] += 1;
            histogram.sum += u64::from(time);
        }
        let classes = to_page_buckets(&histogram, true);
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
        // 10 s lies in a bucket that the bound cuts.
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
        let mut published = Published::default();
        let mut shown = |value| {
            let all = next(&mut published, counters(value), Settle::default());
            all.into_iter()
                .map(|(traffic, _)| traffic.protocol.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(0), ["test"]);
        assert_eq!(shown(1), ["other", "test"]);
        assert_eq!(shown(1), ["other", "test"]);
    }
}
