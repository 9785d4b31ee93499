//! Notices when a series ends: it gets one last point with the flag `NO_RECORDED_VALUE`, so that a store stops showing
//! its last value. Bounded by the number of series. Pure.

use std::collections::HashMap;

use crate::model::{Metric, OpenTelemetry};

/// A series that was sent, with what its last point needs.
pub(super) struct Series {
    pub(super) metric: &'static Metric,
    pub(super) form: &'static OpenTelemetry,
    /// The values of the metric's labels.
    pub(super) values: Box<[Box<str>]>,
    /// The last round that had it.
    round: u64,
    /// After its end: the message of this round that has its last point.
    part: Option<usize>,
}

/// The series that the receiver knows.
#[derive(Default)]
pub(super) struct SeriesTracker {
    series: HashMap<u64, Series>,
    round: u64,
}

impl SeriesTracker {
    /// Starts a new round.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// This round has the series with that key.
    pub(super) fn seen(
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

    /// Ends the series that this round does not have: `send` puts the last point of each into a message, and returns
    /// the message's index.
    pub(super) fn end(&mut self, mut send: impl FnMut(&Series) -> usize) {
        for series in self.series.values_mut() {
            if series.round != self.round {
                series.part = Some(send(series));
            }
        }
    }

    /// The receiver has accepted that message: the series that it ended are forgotten.
    pub(super) fn accepted(&mut self, part: usize) {
        self.series.retain(|_, series| series.part != Some(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog;

    #[test]
    fn the_last_point_is_sent_until_it_is_accepted() {
        let metric = catalog().find(|it| it.name == "gpu_up").unwrap();
        let form = &metric.opentelemetry[0];
        let mut tracker = SeriesTracker::default();
        let round = |tracker: &mut SeriesTracker, present: &[u64]| {
            tracker.begin();
            for key in present {
                tracker.seen(*key, metric, form, &["0"]);
            }
            let mut ended = 0;
            tracker.end(|_| {
                ended += 1;
                0
            });
            ended
        };
        assert_eq!(round(&mut tracker, &[1, 2]), 0);
        assert_eq!(round(&mut tracker, &[1]), 1);
        assert_eq!(round(&mut tracker, &[1]), 1, "the message was lost");
        tracker.accepted(1);
        assert_eq!(round(&mut tracker, &[1]), 1, "another message was accepted");
        tracker.accepted(0);
        assert_eq!(round(&mut tracker, &[1]), 0);
        assert_eq!(round(&mut tracker, &[1, 2]), 0, "it came back");
        assert_eq!(round(&mut tracker, &[2]), 1);
        assert_eq!(
            round(&mut tracker, &[1, 2]),
            0,
            "it came back before its end was accepted"
        );
    }
}
