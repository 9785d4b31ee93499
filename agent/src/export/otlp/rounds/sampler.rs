//! Chooses the rounds to send: one in so many, and every round in which a source failed or was slow. Pure.

use std::{
    collections::BTreeMap,
    slice::from_ref,
    time::{Duration, SystemTime},
};

use opentelemetry::trace::SpanContext;

/// A round is complete once a source has finished the third round after it.
const LATE: u64 = 3;

/// The fields of the `tracing` span of one source's part of a round.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundFields {
    pub(super) source: String,
    pub(super) number: u64,
    pub(super) failure: Option<String>,
    pub(super) kind: Option<String>,
}

/// One source's part of a round, after its end.
#[derive(Clone, Debug)]
pub(super) struct SourceRound {
    pub(super) context: SpanContext,
    pub(super) fields: RoundFields,
    pub(super) began: SystemTime,
    pub(super) took: Duration,
}

impl SourceRound {
    /// A source that is absent has not failed.
    pub(super) fn failed(&self) -> bool {
        self.fields.failure.is_some() && self.fields.kind.as_deref() != Some("absent")
    }
}

/// A round to send now.
#[derive(Debug)]
pub(super) struct SampledRound {
    pub(super) number: u64,
    pub(super) sources: Vec<SourceRound>,
    /// Whether the round's own span is still to be sent.
    pub(super) with_root: bool,
}

/// The rounds that are not complete.
pub(super) struct RoundSampler {
    one_in: u64,
    slow: Duration,
    open: BTreeMap<u64, Vec<SourceRound>>,
    /// The last complete round, and whether it was sent.
    last: Option<(u64, bool)>,
}

impl RoundSampler {
    pub(super) fn new(one_in: u32, slow: Duration) -> Self {
        Self {
            one_in: one_in.into(),
            slow,
            open: BTreeMap::new(),
            last: None,
        }
    }

    /// Adds a source's part of a round, and returns the rounds to send now.
    pub(super) fn add(&mut self, part: SourceRound) -> Vec<SampledRound> {
        let number = part.fields.number;
        if let Some((last, sent)) = self.last
            && number <= last
        {
            // The source hung, and its round is complete without it.
            let sent = sent && number == last;
            let wanted = sent || self.is_wanted(number, from_ref(&part));
            let late = wanted.then(|| SampledRound {
                number,
                sources: vec![part],
                with_root: !sent,
            });
            return late.into_iter().collect();
        }
        self.open.entry(number).or_default().push(part);
        let mut sampled = Vec::new();
        while let Some(entry) = self.open.first_entry()
            && *entry.key() + LATE <= number
        {
            let (number, sources) = entry.remove_entry();
            let wanted = self.is_wanted(number, &sources);
            self.last = Some((number, wanted));
            if wanted {
                sampled.push(SampledRound {
                    number,
                    sources,
                    with_root: true,
                });
            }
        }
        sampled
    }

    fn is_wanted(&self, number: u64, sources: &[SourceRound]) -> bool {
        let sampled = self.one_in > 0 && number.is_multiple_of(self.one_in);
        sampled || sources.iter().any(|it| it.failed() || it.took >= self.slow)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn sampler(one_in: u32) -> RoundSampler {
        RoundSampler::new(one_in, Duration::from_millis(500))
    }

    pub(in super::super) fn part(
        source: &str,
        number: u64,
        took: u64,
        kind: Option<&str>,
    ) -> SourceRound {
        SourceRound {
            context: crate::export::otlp::span::context(1.into(), 1.into()),
            fields: RoundFields {
                source: source.to_owned(),
                number,
                failure: kind.map(|_| "why".to_owned()),
                kind: kind.map(str::to_owned),
            },
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            took: Duration::from_millis(took),
        }
    }

    /// What is sent when these are added: number, sources, whether with the round's own span.
    fn sent(
        sampler: &mut RoundSampler,
        parts: impl IntoIterator<Item = SourceRound>,
    ) -> Vec<(u64, usize, bool)> {
        let rounds = parts.into_iter().flat_map(|part| sampler.add(part));
        rounds
            .map(|it| (it.number, it.sources.len(), it.with_root))
            .collect()
    }

    fn usual(numbers: std::ops::Range<u64>) -> impl Iterator<Item = SourceRound> {
        numbers.flat_map(|number| ["host", "gpu0"].map(|source| part(source, number, 1, None)))
    }

    #[test]
    fn one_round_in_so_many_is_sent_whole() {
        let mut sampler = sampler(10);
        assert_eq!(
            sent(&mut sampler, usual(0..24)),
            [(0, 2, true), (10, 2, true), (20, 2, true)]
        );
        assert_eq!(sampler.open.len(), 3);
    }

    #[test]
    fn a_failed_or_slow_round_is_always_sent_and_one_with_an_absent_source_is_not() {
        let mut sampler = sampler(0);
        let unusual = [
            part("gpu0", 1, 1, Some("lost")),
            part("gpu0", 3, 700, None),
            part("gpu0", 5, 1, Some("absent")),
        ];
        let parts = (0..10).flat_map(|number| {
            let of_round = unusual.iter().filter(move |it| it.fields.number == number);
            of_round.cloned().chain([part("host", number, 1, None)])
        });
        assert_eq!(sent(&mut sampler, parts), [(1, 2, true), (3, 2, true)]);
    }

    #[test]
    fn a_source_that_hung_joins_its_own_round_late() {
        let mut sampler = sampler(10);
        assert_eq!(sent(&mut sampler, usual(1..14)), [(10, 2, true)]);
        // Round 10 was sent, round 9 was not.
        let late = |number, took| [part("gpu1", number, took, None)];
        assert_eq!(sent(&mut sampler, late(10, 3000)), [(10, 1, false)]);
        assert_eq!(sent(&mut sampler, late(9, 4000)), [(9, 1, true)]);
        assert_eq!(sent(&mut sampler, late(8, 1)), []);
    }
}
