//! `cargo xtask build`: the agent in release, and what other verbs need built beside it.

use std::path::PathBuf;

use anyhow::Context as _;
use xshell::cmd;

use crate::{
    bpf_toolchain::Toolchain,
    project::{Project, say},
    setup::{self, Group},
};

/// Build the agent in release, with its BPF programs, and print its path
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build the library that simulates GPUs, too, and its variant with the interface of an old driver
    #[arg(long)]
    fake_nvml: bool,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Build])?;
        say(agent(project)?.display());
        if self.fake_nvml {
            say(fake_nvml(project)?.display());
        }
        Ok(())
    }
}

/// Builds the agent and returns its path.
pub(crate) fn agent(project: &Project) -> anyhow::Result<PathBuf> {
    let sh = &project.sh;
    cmd!(sh, "cargo build --release -p partymeter").run()?;
    Ok(project.program("partymeter"))
}

/// Builds the library that simulates GPUs and its variant for an old driver; returns the path of the first.
pub(crate) fn fake_nvml(project: &Project) -> anyhow::Result<PathBuf> {
    let sh = &project.sh;
    cmd!(sh, "cargo build --release -p partymeter-fake-nvml").run()?;
    let old = [
        "--features",
        "old-driver",
        "--target-dir",
        "target/old-driver",
    ];
    cmd!(sh, "cargo build --release -p partymeter-fake-nvml {old...}").run()?;
    Ok(project.program("libpartymeter_fake_nvml.so"))
}

/// Builds the BPF program with which the benchmarks compare the agent.
pub(crate) fn per_packet(project: &Project) -> anyhow::Result<PathBuf> {
    const NAME: &str = "per-packet";
    let toolchain = Toolchain::find().context(
        "no Rust toolchain with the source of its library was found; run `cargo xtask setup`",
    )?;
    toolchain.build(
        &project.root.join("agent-ebpf"),
        NAME,
        NAME,
        &project.target.join("per-packet"),
        std::env::consts::ARCH,
    )
}
