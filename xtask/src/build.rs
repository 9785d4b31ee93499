//! `cargo xtask build`: the agent, in release.

use std::path::PathBuf;

use xshell::cmd;

use crate::{
    project::{Project, say},
    setup::{self, Group},
};

/// Build the agent in release, the BPF programs in it, and print where it is
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build the library that makes GPUs up, too, and the one that does it as an old driver
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

/// Builds the library that makes GPUs up, and the one that does it as an old driver; returns the path of the first.
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
