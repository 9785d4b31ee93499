//! The benchmarks: what the agent costs the traffic that it counts, and itself. `cargo xtask bench` builds
//! and starts this as root; everything is in `bench/`.

#[path = "../bench/mod.rs"]
mod bench;

fn main() -> std::process::ExitCode {
    bench::main()
}
