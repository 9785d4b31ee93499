//! `cargo xtask bench`: builds and runs the benchmarks, which live in the crate `tests`.

use anyhow::bail;
use xshell::cmd;

use crate::{
    build,
    privilege::Root,
    project::Project,
    setup::{self, Group},
};

/// Measure what the agent costs: the speed of traffic with and without it, its CPU time and memory
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer and shorter runs, to see that everything works; the figures are rough
    #[arg(long)]
    quick: bool,
    /// The benchmarks to run (default: all)
    names: Vec<String>,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        let root = Root::find(project);
        if root == Root::None {
            bail!(
                "the benchmarks load BPF programs, which needs root: run them as root, or install sudo"
            );
        }
        setup::ensure(project, &[Group::Test, Group::Bench])?;
        let agent = build::agent(project)?;
        build::fake_nvml(project)?;
        let per_packet = build::per_packet(project)?;
        let sh = &project.sh;
        cmd!(
            sh,
            "cargo build --release -p partymeter-tests --bin partymeter-bench"
        )
        .run()?;
        // By `env`, because sudo passes on neither the search path nor other variables.
        root.command(sh, "env")
            .arg(format!("PATH={}", sh.var("PATH")?))
            .arg(format!("PARTYMETER_BIN={}", agent.display()))
            .arg(format!("PER_PACKET={}", per_packet.display()))
            .arg(format!(
                "NVITOP_EXPORTER={}",
                project.python().join("bin/nvitop-exporter").display()
            ))
            .arg(project.program("partymeter-bench"))
            .args(self.quick.then_some("--quick"))
            .args(&self.names)
            .run()?;
        Ok(())
    }
}
