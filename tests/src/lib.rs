//! The end-to-end tests of partymeter, and its benchmarks.
