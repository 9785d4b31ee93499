//! One agent takes over from another while the programs of both are attached, the older ones first. One word says which
//! load of the programs counts: its generation, and below that the phase of the handover. Between two phases the agent
//! waits until every program that was running has ended, so for each event both loads see the same phase, or one and
//! the next.

/// How far a handover is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One load counts.
    Single = 0,
    /// It counts, and announces on its CPU that it has; the next load takes the announcement away.
    Announce = 1,
    /// The next load counts, except what the one before it has just announced.
    Drain = 2,
}

/// The word of a generation and a phase.
#[must_use]
pub const fn word(generation: u32, phase: Phase) -> u32 {
    generation << 2 | phase as u32
}

/// The generation in a word.
#[must_use]
pub const fn generation(word: u32) -> u32 {
    word >> 2
}

/// Whether a word has this phase.
#[must_use]
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "the programs ask it for every message and datagram"
)]
pub const fn is(word: u32, phase: Phase) -> bool {
    word & 3 == phase as u32
}

#[cfg(test)]
mod tests {
    use super::{Phase, generation, is, word};

    #[test]
    fn a_word_holds_a_generation_and_a_phase() {
        for phase in [Phase::Single, Phase::Announce, Phase::Drain] {
            let now = word(7, phase);
            assert_eq!(generation(now), 7);
            for other in [Phase::Single, Phase::Announce, Phase::Drain] {
                assert_eq!(is(now, other), other == phase);
            }
        }
    }
}
