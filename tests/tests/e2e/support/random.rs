//! Numbers that look random, and are the same for the same seed.

use super::agent::free_port;

/// A generator (`SplitMix64`).
pub struct Random(u64);

impl Random {
    /// With a seed of its own, which is printed, or that of `PARTYMETER_TEST_SEED`.
    pub fn new() -> Self {
        let seed = std::env::var("PARTYMETER_TEST_SEED").map_or_else(
            |_| u64::from(std::process::id()) << 16 | u64::from(free_port()),
            |seed| seed.parse().unwrap(),
        );
        println!("PARTYMETER_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another one, whose numbers follow from this one's.
    pub fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
