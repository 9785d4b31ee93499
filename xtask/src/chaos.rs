//! `cargo xtask chaos`: the agent killed, stopped, paused and reconfigured under load, for minutes.

use crate::{project::Project, test};

/// Kill, stop, pause and reconfigure the agent at random under load; no byte may be lost
///
/// A nightly check. Its seed is printed; `PARTYMETER_TEST_SEED` repeats one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how many seconds
    #[arg(long, default_value_t = 180)]
    seconds: u64,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        let seconds = self.seconds.to_string();
        let _seconds = project.sh.push_env("PARTYMETER_CHAOS_SECONDS", seconds);
        test::Args::of(&["pin::chaos::nothing_is_lost_in_chaos", "--nocapture"]).run(project)
    }
}
