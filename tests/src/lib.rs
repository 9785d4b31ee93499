//! What the end-to-end tests of partymeter and its benchmarks share.

pub mod kernel_btf;
pub mod memory_group;
