//! partymeter
