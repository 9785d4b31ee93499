//! The agent traces itself: every round of the sources is a trace, with a span for each source and GPU.
//!
//! Each source has a thread and a clock of its own. A round is what they do in the same interval, counted from the
//! sources' start.

mod sampler;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    KeyValue,
    trace::{SpanContext, Status},
};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use self::sampler::{RoundFields, RoundSampler, SourceRound};
use super::{
    queue::Queue,
    span::{context, integer, span},
};

/// Makes spans of the sources' rounds.
pub struct RoundLayer {
    queue: Arc<Queue<SpanData>>,
    /// Makes ids that no other process has.
    seed: u64,
    sampler: Mutex<RoundSampler>,
}

impl RoundLayer {
    pub(super) fn new(queue: Arc<Queue<SpanData>>, one_in: u32, interval: Duration) -> Self {
        Self {
            queue,
            seed: fastrand::u64(..),
            sampler: Mutex::new(RoundSampler::new(one_in, interval / 2)),
        }
    }

    /// The span of a round. It follows from the round's number, so that messages know it before the round ends.
    fn root(&self, round: u64) -> SpanContext {
        let mut ids = fastrand::Rng::with_seed(self.seed ^ round);
        context(ids.u128(1..).into(), ids.u64(1..).into())
    }
}

/// One source's part of a round, while it runs.
struct Running {
    fields: RoundFields,
    began: (SystemTime, Instant),
}

impl Visit for RoundFields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "source" => value.clone_into(&mut self.source),
            "failure" => self.failure = Some(value.to_owned()),
            "kind" => self.kind = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "round" {
            self.number = value;
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RoundLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, spans: Context<'_, S>) {
        let Some(span) = spans.span(id) else { return };
        let mut fields = RoundFields::default();
        attributes.record(&mut fields);
        let trace = self.root(fields.number).trace_id();
        let mut extensions = span.extensions_mut();
        // For `log::span_context`.
        extensions.insert(context(trace, fastrand::u64(1..).into()));
        extensions.insert(Running {
            fields,
            began: (SystemTime::now(), Instant::now()),
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(running) = span.extensions_mut().get_mut::<Running>() {
            values.record(&mut running.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let mut extensions = span.extensions_mut();
        let (Some(context), Some(running)) = (
            extensions.remove::<SpanContext>(),
            extensions.remove::<Running>(),
        ) else {
            return;
        };
        drop(extensions);
        let (began, clock) = running.began;
        let part = SourceRound {
            context,
            fields: running.fields,
            began,
            took: clock.elapsed(),
        };
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        for round in sampler.add(part) {
            let root = self.root(round.number);
            if round.with_root {
                let span = round_span(root.clone(), round.number, &round.sources);
                self.queue.push(span);
            }
            for source in round.sources {
                self.queue.push(source_span(&root, source));
            }
        }
    }
}

/// The span of a round: from the first start to the last end of its sources.
fn round_span(context: SpanContext, number: u64, sources: &[SourceRound]) -> SpanData {
    let start = sources.iter().map(|it| it.began).min();
    let end = sources.iter().map(|it| it.began + it.took).max();
    let times = [start, end].map(|time| time.unwrap_or(SystemTime::UNIX_EPOCH));
    let attributes = vec![KeyValue::new("partymeter.round", integer(number))];
    span(
        context,
        "collection round".to_owned(),
        times.into(),
        attributes,
    )
}

/// The span of one source.
fn source_span(root: &SpanContext, part: SourceRound) -> SpanData {
    let failed = part.failed();
    let SourceRound {
        context,
        fields,
        began,
        took,
    } = part;
    let name = format!("collect {}", fields.source);
    let mut attributes = vec![KeyValue::new("partymeter.source", fields.source)];
    attributes.extend(fields.kind.map(|kind| KeyValue::new(ERROR_TYPE, kind)));
    let mut span = span(context, name, (began, began + took), attributes);
    span.parent_span_id = root.span_id();
    if failed {
        span.status = Status::error(fields.failure.unwrap_or_default());
    }
    span
}

#[cfg(test)]
mod tests {
    use super::{sampler::tests::part, *};

    #[test]
    fn the_sources_of_a_round_share_its_trace() {
        let layer = RoundLayer::new(Arc::default(), 1, Duration::from_secs(1));
        assert_eq!(layer.root(7), layer.root(7));
        assert!(layer.root(7) != layer.root(8));
        let root = layer.root(7);
        let failed = source_span(&root, part("gpu0", 7, 10, Some("lost")));
        let absent = source_span(&root, part("gpu0", 7, 10, Some("absent")));
        let sources = [part("gpu0", 7, 10, None), part("host", 7, 30, None)];
        let round = round_span(root.clone(), 7, &sources);
        assert_eq!(failed.parent_span_id, root.span_id());
        assert_eq!(round.span_context, root);
        let took = round.end_time.duration_since(round.start_time);
        assert_eq!(took.unwrap(), Duration::from_millis(30));
        assert_eq!(failed.status, Status::error("why"));
        assert_eq!(absent.status, Status::Unset);
    }
}
