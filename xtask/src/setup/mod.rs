//! `cargo xtask setup`: makes a machine able to build, test and lint. Idempotent: it looks first, asks the network
//! only for what is missing, and goes on after a failure so that one call names everything that is still missing.

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

/// Install what is missing to build, test and lint; changes nothing where nothing is missing
///
/// Uses apt-get (by sudo if you are not root) for system packages, cargo and rustup for Rust tools, and keeps the
/// tests' Python environment in the target directory. Where one of them cannot be had, it says what is missing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to prepare for
    #[arg(value_enum, default_values_t = [Group::Build, Group::Test, Group::Lint])]
    groups: Vec<Group>,
}

/// What a machine can be prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// A Rust that compiles BPF programs, and bpf-linker
    Build,
    /// Also Prometheus, iperf3, iproute2, bpftool, and mpyc in a Python environment
    Test,
    /// Also cargo-deny, rustfmt and clippy
    Lint,
    /// Also QEMU and busybox, for `kernels`
    Kernels,
    /// Also cargo-fuzz and a C++ compiler
    Fuzz,
    /// Also nvitop-exporter, to compare with; needs what is for tests
    Bench,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        ensure(project, &self.groups)?;
        say("setup: nothing is missing");
        Ok(())
    }
}

/// A part of a group: the check and the installation of one thing.
type Part = fn(&Apt<'_>) -> anyhow::Result<()>;

/// Installs what is missing for `groups`.
pub(crate) fn ensure(project: &Project, groups: &[Group]) -> anyhow::Result<()> {
    let apt = Apt::new(project);
    // Every group builds the agent.
    let mut parts: Vec<Part> = vec![bpf::compiler, bpf::linker];
    if groups.contains(&Group::Test) {
        parts.extend([
            commands::of_tests as Part,
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
        unpacked::look(&apt);
    }
    if groups.contains(&Group::Lint) {
        lint::bpf_clippy(&apt);
    }
    if !missing.is_empty() {
        bail!("setup could not install everything:{}", missing.concat());
    }
    Ok(())
}
