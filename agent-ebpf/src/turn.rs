//! Programs of two loads are attached while one agent takes over from another, the older ones first. Which of them
//! counts is one word: the load's generation, and above which phase it is in. Between two phases all programs that were
//! running must have ended, so that of each event both see the same phase, or one and the next.

/// One load counts.
pub const ALONE: u32 = 0;
/// It counts, and notes on its CPU that it has; the one after it takes the note away.
pub const NOTING: u32 = 1;
/// The next one counts, but what the one before it has just noted.
pub const HEEDING: u32 = 2;

/// The word.
#[must_use]
pub const fn of(generation: u32, phase: u32) -> u32 {
    generation << 2 | phase
}

/// The generation in a word.
#[must_use]
pub const fn generation(turn: u32) -> u32 {
    turn >> 2
}

/// The phase in a word.
#[must_use]
pub const fn phase(turn: u32) -> u32 {
    turn & 3
}
