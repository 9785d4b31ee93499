//! `cargo xtask chaos`: kills, stops, pauses and reconfigures the agent under load for minutes.

use crate::{project::Project, test};

/// Kill, stop, pause and reconfigure the agent at random under load, and check that no byte is lost
///
/// Meant as a nightly check. It prints its random seed; the variable `PARTYMETER_TEST_SEED` repeats a run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seconds it takes
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
