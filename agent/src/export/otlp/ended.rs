//! Series that have ended: each gets one last point that says so (`NO_RECORDED_VALUE`), so that a store does not go on
//! showing its last value. Bounded by the number of series. Pure.

use std::collections::HashMap;

use crate::model::{Metric, OpenTelemetry};

/// A series that was sent, by what its point can be made of again.
pub(super) struct Series {
    pub(super) metric: &'static Metric,
    pub(super) form: &'static OpenTelemetry,
    /// The values of its labels.
    pub(super) values: Box<[Box<str>]>,
    /// The round in which it was there last.
    round: u64,
    /// Once it is gone: the message of the round that says so.
    part: Option<usize>,
}

/// The series of the rounds until now.
#[derive(Default)]
pub(super) struct Known {
    series: HashMap<u64, Series>,
    round: u64,
}

impl Known {
    /// A new round begins.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// The series of that key is there.
    pub(super) fn saw(
        &mut self,
        key: u64,
        metric: &'static Metric,
        form: &'static OpenTelemetry,
        values: &[&str],
    ) {
        let round = self.round;
        let series = self.series.entry(key).or_insert_with(|| Series {
            metric,
            form,
            values: values.iter().map(|value| Box::from(*value)).collect(),
            round,
            part: None,
        });
        (series.round, series.part) = (round, None);
    }

    /// Those that are gone; `say` puts a point for each into a message, and returns the message's number.
    pub(super) fn end(&mut self, mut say: impl FnMut(&Series) -> usize) {
        for series in self.series.values_mut() {
            if series.round != self.round {
                series.part = Some(say(series));
            }
        }
    }

    /// That message was accepted: what it said need not be said again.
    pub(super) fn accepted(&mut self, part: usize) {
        self.series.retain(|_, series| series.part != Some(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog;

    #[test]
    fn the_end_of_a_series_is_said_until_it_is_accepted_and_then_no_more() {
        let metric = catalog().find(|it| it.name == "gpu_up").unwrap();
        let form = &metric.opentelemetry[0];
        let mut known = Known::default();
        let round = |known: &mut Known, there: &[u64]| {
            known.begin();
            for key in there {
                known.saw(*key, metric, form, &["0"]);
            }
            let mut said = 0;
            known.end(|_| {
                said += 1;
                0
            });
            said
        };
        assert_eq!(round(&mut known, &[1, 2]), 0);
        assert_eq!(round(&mut known, &[1]), 1);
        assert_eq!(round(&mut known, &[1]), 1, "the message was lost");
        known.accepted(1);
        assert_eq!(round(&mut known, &[1]), 1, "another message was accepted");
        known.accepted(0);
        assert_eq!(round(&mut known, &[1]), 0);
        assert_eq!(round(&mut known, &[1, 2]), 0, "it came back");
        assert_eq!(round(&mut known, &[2]), 1);
        assert_eq!(round(&mut known, &[1, 2]), 0, "before its end was accepted");
    }
}
