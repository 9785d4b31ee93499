//! `cargo xtask build`: the agent, in release.

use std::path::PathBuf;

use xshell::cmd;

use crate::{
    project::{Project, say},
    setup::{self, Group},
};

/// Build the agent in release, the BPF programs in it, and print where it is
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every verb has the same form")]
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Build])?;
        say(agent(project)?.display());
        Ok(())
    }
}

/// Builds the agent and returns its path.
pub(crate) fn agent(project: &Project) -> anyhow::Result<PathBuf> {
    let sh = &project.sh;
    cmd!(sh, "cargo build --release -p partymeter").run()?;
    Ok(project.program("partymeter"))
}
