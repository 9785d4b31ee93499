//! The benchmarks: what the agent costs the traffic that it counts, and itself. `cargo xtask bench` builds
//! and starts this as root; everything is in `bench/`.

// A program, not a test: the workspace's lints that this package leaves out.
#![warn(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    let_underscore_drop,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::map_err_ignore
)]

#[path = "../bench/mod.rs"]
mod bench;

fn main() -> std::process::ExitCode {
    bench::main()
}
