//! `cargo xtask gpu-check`: the tests that need a real GPU.

use anyhow::bail;
use xshell::cmd;

use crate::{
    build, needs,
    project::Project,
    setup::{self, Group},
};

/// Compare the agent with nvidia-smi on a machine that has a GPU, at rest and under load
///
/// Prints the figures of both. The load uses the CUDA driver and python3; it takes 2 GiB of GPU 0 for 12 seconds.
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every verb has the same form")]
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        if let Some(unmet) = needs::look(project, "GPU")? {
            bail!("no GPU to compare with: {}", unmet.why);
        }
        setup::ensure(project, &[Group::Build])?;
        let agent = build::agent(project)?;
        let _bin = project.sh.push_env("PARTYMETER_BIN", agent);
        let tests = cmd!(
            project.sh,
            "cargo test --release -p partymeter-tests --test gpu -- --include-ignored --nocapture --test-threads 1"
        );
        if tests.run().is_err() {
            bail!("the GPU checks failed, see above");
        }
        Ok(())
    }
}
