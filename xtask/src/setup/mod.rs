//! `cargo xtask setup`: installs what is needed to build, test and lint. It is idempotent: it looks first and downloads only
//! what is missing. It continues after a failure, so that one call lists everything that is still missing.

mod apt;
mod bpf;
mod commands;
mod fuzz;
mod lint;
mod prometheus;
mod python;
mod suites;
mod unpacked;

use anyhow::bail;
use apt::Apt;
pub(crate) use bpf::has_clippy as has_bpf_clippy;
use clap::ValueEnum;
pub(crate) use commands::missing_for_tests as missing_commands;
pub(crate) use python::is_complete as has_python;
pub(crate) use suites::Suites;

use crate::project::{Project, say};

/// Install what is missing to build, test and lint
///
/// Uses apt-get (by sudo if you are not root) for system packages, and cargo and rustup for Rust tools. The tests' Python
/// environment is in the target directory. Lists what it could not install, and how to install it by hand.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to install
    #[arg(value_enum, default_values_t = [Group::Build, Group::Test, Group::Lint])]
    groups: Vec<Group>,
}

/// What can be installed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// For every verb: a Rust toolchain that compiles BPF programs, and bpf-linker
    Build,
    /// For `test`: Prometheus, iperf3, iproute2, bpftool, mandoc, zsh, fish, and a Python environment with mpyc
    Test,
    /// For `lint`: cargo-deny, rustfmt and clippy
    Lint,
    /// For `kernels`: QEMU and busybox
    Kernels,
    /// For `fuzz`: cargo-fuzz and a C++ compiler
    Fuzz,
    /// For `bench`: nvitop-exporter, in the Python environment of `test`
    Bench,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        ensure(project, &self.groups)?;
        say("setup: nothing is missing");
        Ok(())
    }
}

/// A part of a group: checks for one thing and installs it.
type Part = fn(&Apt<'_>) -> anyhow::Result<()>;

/// Installs what is missing for `groups`.
pub(crate) fn ensure(project: &Project, groups: &[Group]) -> anyhow::Result<()> {
    let apt = Apt::new(project);
    // Every group builds the agent.
    let mut parts: Vec<Part> = vec![bpf::compiler, bpf::linker];
    if groups.contains(&Group::Test) {
        parts.extend([
            commands::of_tests as Part,
            commands::of_manual,
            prometheus::ensure,
            python::ensure,
        ]);
    }
    if groups.contains(&Group::Lint) {
        parts.extend([lint::cargo_deny as Part, lint::components]);
    }
    if groups.contains(&Group::Kernels) {
        parts.push(commands::of_kernels);
    }
    if groups.contains(&Group::Fuzz) {
        parts.extend([fuzz::cargo_fuzz as Part, fuzz::compiler]);
    }
    if groups.contains(&Group::Bench) {
        parts.push(python::exporter);
    }
    let missing: Vec<String> = parts
        .into_iter()
        .filter_map(|part| part(&apt).err())
        .map(|error| format!("\n  - {error:#}"))
        .collect();
    if groups.contains(&Group::Test) {
        unpacked::fetch(&apt);
    }
    if groups.contains(&Group::Lint) {
        lint::bpf_clippy(&apt);
    }
    if !missing.is_empty() {
        bail!("setup could not install everything:{}", missing.concat());
    }
    Ok(())
}
