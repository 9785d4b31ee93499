//! The agent traces itself: every round of the sources is a trace, with a span for each source and GPU. One in so many
//! goes out, and beside those every round in which a source failed or was slow.
//!
//! Sources have threads and rhythms of their own, so that a round is what they do in the same interval, counted from
//! their start. Ids follow from the number of the round: whoever logs inside one knows them before it is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope},
};

use super::{
    queue::Queue,
    words::{SCHEMA, integer, nanoseconds, scope, text},
};

/// How many rounds a source may be late and still be put into its own.
const LATE: u64 = 3;

/// Which span of which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    trace: u128,
    span: u64,
}

impl Ids {
    /// Of the round that these spans belong to.
    pub fn of<'a, R: LookupSpan<'a>>(spans: Scope<'a, R>) -> Option<Self> {
        let mut found =
            spans.filter_map(|span| span.extensions().get::<Running>().map(|it| it.ids));
        found.next()
    }

    /// As W3C Trace Context writes it.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// As W3C Trace Context writes it.
    pub fn span(&self) -> String {
        format!("{:016x}", self.span)
    }

    pub(super) fn trace_bytes(self) -> Vec<u8> {
        self.trace.to_be_bytes().to_vec()
    }

    pub(super) fn span_bytes(self) -> Vec<u8> {
        self.span.to_be_bytes().to_vec()
    }
}

/// Collects the rounds.
pub struct RoundLayer {
    queue: Arc<Queue<Span>>,
    /// Makes the ids of this process others than those of every other.
    seed: u64,
    rounds: Mutex<Rounds>,
}

impl RoundLayer {
    pub(super) fn new(queue: Arc<Queue<Span>>, one_in: u32, interval: Duration) -> Self {
        Self {
            queue,
            seed: fastrand::u64(..),
            rounds: Mutex::new(Rounds {
                one_in: one_in.into(),
                slow: interval / 2,
                open: BTreeMap::new(),
                told: None,
            }),
        }
    }

    fn root(&self, round: u64) -> Ids {
        let mut ids = fastrand::Rng::with_seed(self.seed ^ round);
        Ids {
            trace: ids.u128(1..),
            span: ids.u64(1..),
        }
    }
}

/// One source's round while it runs.
struct Running {
    ids: Ids,
    fields: Round,
    began: (SystemTime, Instant),
}

/// What the span of a source's round says.
#[derive(Clone, Debug, Default)]
struct Round {
    source: String,
    number: u64,
    failure: Option<String>,
    kind: Option<String>,
}

impl Visit for Round {
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
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Round::default();
        attributes.record(&mut fields);
        let ids = Ids {
            span: fastrand::u64(1..),
            ..self.root(fields.number)
        };
        span.extensions_mut().insert(Running {
            ids,
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
        let Some(running) = span.extensions_mut().remove::<Running>() else {
            return;
        };
        let (began, clock) = running.began;
        let done = Done {
            ids: running.ids,
            fields: running.fields,
            began,
            took: clock.elapsed(),
        };
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, sources, with_root) in rounds.add(done) {
            let root = self.root(number);
            if with_root {
                self.queue.push(whole(root, number, &sources));
            }
            for source in sources {
                self.queue.push(part(root, source));
            }
        }
    }
}

/// One source's round when it is over.
#[derive(Clone, Debug)]
struct Done {
    ids: Ids,
    fields: Round,
    began: SystemTime,
    took: Duration,
}

impl Done {
    /// Something that is not there is no error.
    fn failed(&self) -> bool {
        self.fields.failure.is_some() && self.fields.kind.as_deref() != Some("absent")
    }
}

/// The rounds that are not over, as far as is known.
struct Rounds {
    one_in: u64,
    slow: Duration,
    open: BTreeMap<u64, Vec<Done>>,
    /// The last that was looked at, and whether it went out.
    told: Option<(u64, bool)>,
}

impl Rounds {
    /// Takes a source's round in, and gives those rounds that go out now: number, sources, and whether the round's own
    /// span is still to be sent.
    fn add(&mut self, done: Done) -> Vec<(u64, Vec<Done>, bool)> {
        let number = done.fields.number;
        if let Some((told, went)) = self.told
            && number <= told
        {
            // A source that hung: its round went without it.
            let went = went && number == told;
            return if went || self.is_wanted(number, std::slice::from_ref(&done)) {
                vec![(number, vec![done], !went)]
            } else {
                Vec::new()
            };
        }
        self.open.entry(number).or_default().push(done);
        let mut out = Vec::new();
        while let Some(entry) = self.open.first_entry()
            && *entry.key() + LATE <= number
        {
            let (over, sources) = entry.remove_entry();
            let wanted = self.is_wanted(over, &sources);
            self.told = Some((over, wanted));
            if wanted {
                out.push((over, sources, true));
            }
        }
        out
    }

    fn is_wanted(&self, number: u64, sources: &[Done]) -> bool {
        let sampled = self.one_in > 0 && number.is_multiple_of(self.one_in);
        sampled || sources.iter().any(|it| it.failed() || it.took >= self.slow)
    }
}

/// The span of a round: from the first beginning to the last end.
fn whole(ids: Ids, number: u64, sources: &[Done]) -> Span {
    let start = sources.iter().map(|it| it.began).min();
    let end = sources.iter().map(|it| it.began + it.took).max();
    Span {
        trace_id: ids.trace_bytes(),
        span_id: ids.span_bytes(),
        name: "collection round".to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: start.map_or(0, nanoseconds),
        end_time_unix_nano: end.map_or(0, nanoseconds),
        attributes: vec![integer("partymeter.round", number)],
        ..Span::default()
    }
}

/// The span of one source in it.
fn part(root: Ids, done: Done) -> Span {
    let failed = done.failed();
    let Done {
        ids,
        fields,
        began,
        took,
    } = done;
    let mut attributes = vec![text("partymeter.source", fields.source.as_str())];
    attributes.extend(fields.kind.map(|kind| text("error.type", kind)));
    let status = fields.failure.map(|message| Status {
        message,
        code: if failed {
            StatusCode::Error
        } else {
            StatusCode::Unset
        }
        .into(),
    });
    Span {
        trace_id: ids.trace_bytes(),
        span_id: ids.span_bytes(),
        parent_span_id: root.span_bytes(),
        name: format!("collect {}", fields.source),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanoseconds(began),
        end_time_unix_nano: nanoseconds(began + took),
        attributes,
        status,
        ..Span::default()
    }
}

/// A message of spans.
pub(super) fn message(resource: &Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                schema_url: SCHEMA.to_owned(),
            }],
            schema_url: SCHEMA.to_owned(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(one_in: u64) -> Rounds {
        Rounds {
            one_in,
            slow: Duration::from_millis(500),
            open: BTreeMap::new(),
            told: None,
        }
    }

    fn done(source: &str, number: u64, took: u64, kind: Option<&str>) -> Done {
        Done {
            ids: Ids { trace: 1, span: 1 },
            fields: Round {
                source: source.to_owned(),
                number,
                failure: kind.map(|_| "why".to_owned()),
                kind: kind.map(str::to_owned),
            },
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            took: Duration::from_millis(took),
        }
    }

    /// What goes out when these come: number, sources, whether with the round's own span.
    fn out(rounds: &mut Rounds, come: impl IntoIterator<Item = Done>) -> Vec<(u64, usize, bool)> {
        let out = come.into_iter().flat_map(|done| rounds.add(done));
        out.map(|(number, sources, root)| (number, sources.len(), root))
            .collect()
    }

    fn usual(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Done> {
        numbers.flat_map(|number| ["host", "gpu0"].map(|source| done(source, number, 1, None)))
    }

    #[test]
    fn one_in_so_many_goes_out_whole() {
        let mut rounds = rounds(10);
        assert_eq!(
            out(&mut rounds, usual(0..24)),
            [(0, 2, true), (10, 2, true), (20, 2, true)]
        );
        assert_eq!(rounds.open.len(), 3);
    }

    #[test]
    fn what_fails_or_is_slow_always_goes_out_and_what_is_absent_does_not() {
        let mut rounds = rounds(0);
        let strange = [
            done("gpu0", 1, 1, Some("lost")),
            done("gpu0", 3, 700, None),
            done("gpu0", 5, 1, Some("absent")),
        ];
        let come = (0..10).flat_map(|number| {
            let of = strange
                .iter()
                .filter(move |it| it.fields.number == number)
                .cloned();
            of.chain([done("host", number, 1, None)])
        });
        assert_eq!(out(&mut rounds, come), [(1, 2, true), (3, 2, true)]);
    }

    #[test]
    fn one_that_hung_comes_late_into_its_own_round() {
        let mut rounds = rounds(10);
        assert_eq!(out(&mut rounds, usual(1..14)), [(10, 2, true)]);
        // Round 10 went out, round 9 did not.
        assert_eq!(
            out(&mut rounds, [done("gpu1", 10, 3000, None)]),
            [(10, 1, false)]
        );
        assert_eq!(
            out(&mut rounds, [done("gpu1", 9, 4000, None)]),
            [(9, 1, true)]
        );
        assert_eq!(out(&mut rounds, [done("gpu1", 8, 1, None)]), []);
    }

    #[test]
    fn a_round_has_ids_of_its_own_and_its_parts_share_the_trace() {
        let layer = RoundLayer::new(Arc::default(), 1, Duration::from_secs(1));
        assert_eq!(layer.root(7), layer.root(7));
        assert!(layer.root(7) != layer.root(8));
        let root = layer.root(7);
        let part = part(root, done("gpu0", 7, 10, Some("lost")));
        let whole = whole(
            root,
            7,
            &[done("gpu0", 7, 10, None), done("host", 7, 30, None)],
        );
        assert_eq!(part.parent_span_id, whole.span_id);
        assert_eq!(
            whole.end_time_unix_nano - whole.start_time_unix_nano,
            30_000_000
        );
        assert_eq!(part.status.unwrap().code, i32::from(StatusCode::Error));
        assert_eq!((root.trace().len(), root.span().len()), (32, 16));
    }
}
