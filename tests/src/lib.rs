//! What the end-to-end tests of partymeter and its benchmarks share.

pub mod memory_group;
