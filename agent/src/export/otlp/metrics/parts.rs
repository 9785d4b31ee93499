//! Groups the metrics of one snapshot into messages that receivers accept.

use std::collections::HashMap;

use opentelemetry_proto::tonic::metrics::v1::{Metric as Message, metric::Data};

use super::points::empty;
use crate::{
    config::Temporality,
    model::{Metric, MetricValue, OpenTelemetry},
};

/// Points in one message: gRPC receivers accept 4 MiB, and a point takes some 300 bytes.
pub(super) const POINTS: usize = 5000;

/// The messages so far, each with its number of points. Points go into the last one.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) done: Vec<(Vec<Message>, usize)>,
    /// The index of each metric in the last message.
    indexes: HashMap<&'static str, usize>,
}

impl Parts {
    /// The index of the message that the next point goes into.
    pub(super) fn current(&self) -> usize {
        match self.done.last() {
            None => 0,
            Some((_, points)) if *points < POINTS => self.done.len() - 1,
            Some(_) => self.done.len(),
        }
    }

    /// Counts one more point of a metric, and returns the data that it goes into.
    pub(super) fn data(
        &mut self,
        metric: &Metric,
        form: &OpenTelemetry,
        temporality: Temporality,
        value: MetricValue<'_>,
        exponential: bool,
    ) -> &mut Data {
        let current = self.current();
        if current == self.done.len() {
            self.done.push((Vec::new(), 0));
            self.indexes.clear();
        }
        let (metrics, points) = &mut self.done[current];
        *points += 1;
        let index = *self.indexes.entry(form.name).or_insert_with(|| {
            metrics.push(Message {
                name: form.name.to_owned(),
                description: metric.help.to_owned(),
                unit: form.unit_of(metric).to_owned(),
                ..Message::default()
            });
            metrics.len() - 1
        });
        metrics[index]
            .data
            .get_or_insert_with(|| empty(form.instrument(metric), temporality, value, exponential))
    }
}
