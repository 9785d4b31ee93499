//! The state of counters and histograms between messages: when each started, and, with delta temporality, what the
//! receiver has accepted. Bounded by the number of series. Pure.

use std::collections::HashMap;

use crate::{config::Temporality, model::MetricValue};

/// The current value of a sum.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Total {
    Integer(u64),
    Real(f64),
    Histogram(Buckets),
}

/// The value of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Buckets {
    /// The count of each bucket; in an exponential histogram the zero bucket comes first.
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
}

impl Buckets {
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Total {
    /// The value of a series. A histogram that has exponential buckets is read from them if they are wanted.
    pub(super) fn new(value: MetricValue<'_>, exponential: bool) -> Self {
        match value {
            MetricValue::Integer(value) => Self::Integer(value),
            MetricValue::Real(value) => Self::Real(value),
            MetricValue::Histogram(histogram) => {
                let counts = match histogram.fine.filter(|_| exponential) {
                    Some(fine) => [&[fine.zero][..], &fine.buckets[..]].concat(),
                    None => histogram.buckets.to_vec(),
                };
                let sum = histogram.sum;
                Self::Histogram(Buckets { counts, sum })
            }
        }
    }

    /// A number that decreases only when the sum starts again.
    #[expect(clippy::cast_precision_loss, reason = "it is only compared")]
    fn size(&self) -> f64 {
        match self {
            Self::Integer(value) => *value as f64,
            Self::Real(value) => *value,
            Self::Histogram(buckets) => buckets.count() as f64,
        }
    }

    /// The increase since `before`.
    fn since(&self, before: &Self) -> Self {
        match (self, before) {
            (Self::Integer(now), Self::Integer(before)) => {
                Self::Integer(now.saturating_sub(*before))
            }
            (Self::Real(now), Self::Real(before)) => Self::Real((now - before).max(0.0)),
            (Self::Histogram(now), Self::Histogram(before)) => {
                let counts = now.counts.iter().zip(&before.counts);
                Self::Histogram(Buckets {
                    counts: counts
                        .map(|(now, before)| now.saturating_sub(*before))
                        .collect(),
                    sum: (now.sum - before.sum).max(0.0),
                })
            }
            (now, _) => now.clone(),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => Self::Integer(one.saturating_add(*other)),
            (Self::Real(one), Self::Real(other)) => Self::Real(one + other),
            (Self::Histogram(one), Self::Histogram(other)) => Self::Histogram(Buckets {
                counts: one
                    .counts
                    .iter()
                    .zip(&other.counts)
                    .map(|(a, b)| a + b)
                    .collect(),
                sum: one.sum + other.sum,
            }),
            (one, _) => one.clone(),
        }
    }
}

/// A sum as it is sent.
pub(super) struct Sum {
    /// When it started, in nanoseconds since 1970.
    pub(super) start: u64,
    pub(super) total: Total,
}

/// All series that are sums, by key. Times are in nanoseconds since 1970.
#[derive(Default)]
pub(super) struct Sums(HashMap<u64, Series>);

struct Series {
    start: u64,
    /// [`Total::size`] of the last value, and its time.
    last: f64,
    last_time: u64,
    /// `None` with cumulative temporality.
    delta: Option<Delta>,
}

struct Delta {
    accepted: Total,
    accepted_time: u64,
    /// The increase that was not accepted before the sum started again at 0.
    pending: Option<Total>,
    /// The last value that was sent, and the message that had it.
    unacked: Total,
    unacked_time: u64,
    part: usize,
}

impl Sums {
    /// Records the value of a sum, and returns what to send of it in the message with index `part`. `since` is when the
    /// sum started, if that is known.
    ///
    /// If it is not, the first cumulative point has zero length, as OpenTelemetry's data model requires, and there is no
    /// first delta. A sum that decreased has started again after its last value.
    pub(super) fn next(
        &mut self,
        key: u64,
        total: Total,
        since: Option<u64>,
        time: u64,
        temporality: Temporality,
        part: usize,
    ) -> Option<Sum> {
        let size = total.size();
        let known = self.0.get_mut(&key);
        let is_new = known.is_none();
        let began = since.unwrap_or(time);
        let mut fresh = None;
        let series = match known {
            Some(series) => series,
            None => self.0.entry(key).or_insert(Series {
                start: began,
                last: size,
                last_time: time,
                delta: None,
            }),
        };
        let went_back = size < series.last;
        if went_back {
            series.start = since
                .filter(|since| *since > series.start)
                .unwrap_or(series.last_time);
        }
        (series.last, series.last_time) = (size, time);
        if temporality == Temporality::Cumulative {
            return Some(Sum {
                start: series.start,
                total,
            });
        }
        if is_new && since.is_none() {
            fresh = Some(total.clone());
        }
        let zero = || total.since(&total);
        let delta = series.delta.get_or_insert_with(|| Delta {
            accepted: fresh.clone().unwrap_or_else(zero),
            accepted_time: began,
            pending: None,
            unacked: zero(),
            unacked_time: began,
            part,
        });
        if went_back {
            let lost = delta.unacked.since(&delta.accepted);
            delta.pending = Some(match &delta.pending {
                Some(pending) => pending.plus(&lost),
                None => lost,
            });
            delta.accepted = zero();
        }
        let new = total.since(&delta.accepted);
        let new = delta
            .pending
            .as_ref()
            .map_or(new.clone(), |pending| new.plus(pending));
        (delta.unacked, delta.unacked_time) = (total, time);
        delta.part = part;
        fresh.is_none().then_some(Sum {
            start: delta.accepted_time,
            total: new,
        })
    }

    /// The receiver has accepted the last message with that index.
    pub(super) fn accepted(&mut self, part: usize) {
        let deltas = self.0.values_mut().filter_map(|it| it.delta.as_mut());
        for it in deltas.filter(|it| it.part == part) {
            it.accepted = it.unacked.clone();
            it.accepted_time = it.unacked_time;
            it.pending = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA: Temporality = Temporality::Delta;

    fn next(
        sums: &mut Sums,
        value: u64,
        since: Option<u64>,
        time: u64,
        temporality: Temporality,
    ) -> Option<(u64, u64)> {
        let sum = sums.next(1, Total::Integer(value), since, time, temporality, 0)?;
        match sum.total {
            Total::Integer(value) => Some((sum.start, value)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sum_starts_when_it_is_said_to_and_again_when_it_decreased() {
        let mut sums = Sums::default();
        let mut next = |value, since, time| {
            next(&mut sums, value, since, time, Temporality::Cumulative).unwrap()
        };
        assert_eq!(next(5, Some(10), 100), (10, 5));
        assert_eq!(next(7, Some(10), 200), (10, 7));
        assert_eq!(next(1, Some(250), 300), (250, 1));
        // It decreased, and its start is not known.
        assert_eq!(next(0, Some(250), 400), (300, 0));
    }

    #[test]
    fn a_sum_of_unknown_age_starts_with_a_point_of_zero_length() {
        let mut sums = Sums::default();
        let mut next =
            |value, time| next(&mut sums, value, None, time, Temporality::Cumulative).unwrap();
        assert_eq!(next(1000, 100), (100, 1000));
        assert_eq!(next(1010, 200), (100, 1010));
        assert_eq!(next(3, 300), (200, 3));
        assert_eq!(next(4, 400), (200, 4));
    }

    #[test]
    fn deltas_add_up_to_the_sum_whatever_is_not_accepted() {
        let mut sums = Sums::default();
        assert_eq!(next(&mut sums, 5, Some(10), 100, DELTA), Some((10, 5)));
        assert_eq!(next(&mut sums, 8, Some(10), 200, DELTA), Some((10, 8)));
        sums.accepted(0);
        assert_eq!(next(&mut sums, 8, Some(10), 300, DELTA), Some((200, 0)));
        sums.accepted(1);
        assert_eq!(next(&mut sums, 9, Some(10), 400, DELTA), Some((200, 1)));
        // Starts again twice while 1 is pending.
        assert_eq!(next(&mut sums, 4, Some(450), 500, DELTA), Some((200, 5)));
        assert_eq!(next(&mut sums, 2, Some(550), 600, DELTA), Some((200, 7)));
        sums.accepted(0);
        assert_eq!(next(&mut sums, 3, Some(550), 700, DELTA), Some((600, 1)));
    }

    #[test]
    fn there_is_no_delta_to_an_unknown_value() {
        let mut sums = Sums::default();
        assert_eq!(next(&mut sums, 1000, None, 100, DELTA), None);
        assert_eq!(next(&mut sums, 1001, None, 200, DELTA), Some((100, 1)));
        sums.accepted(0);
        assert_eq!(next(&mut sums, 1003, None, 300, DELTA), Some((200, 2)));
    }

    #[test]
    fn a_histogram_is_a_sum_in_every_bucket() {
        let mut sums = Sums::default();
        let mut next = |counts: [u64; 2], sum: f64, time| {
            let counts = counts.to_vec();
            let total = Total::Histogram(Buckets { counts, sum });
            let sum = sums.next(1, total, Some(1), time, DELTA, 0).unwrap();
            sums.accepted(0);
            sum.total
        };
        let histogram = |counts: [u64; 2], sum: f64| {
            let counts = counts.to_vec();
            Total::Histogram(Buckets { counts, sum })
        };
        assert_eq!(next([1, 2], 2.5, 10), histogram([1, 2], 2.5));
        assert_eq!(next([1, 5], 4.0, 20), histogram([0, 3], 1.5));
        assert_eq!(next([1, 0], 0.5, 30), histogram([1, 0], 0.5));
    }
}
