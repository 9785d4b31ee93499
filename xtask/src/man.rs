//! `cargo xtask man`: the manual pages and shell completions, for packages. They come from the definition of the command
//! line by `agent/examples/manual`, because their generators would make the agent's binary larger.

use xshell::cmd;

use crate::{
    project::{Project, say},
    setup::{self, Group},
};

/// Write the manual pages to target/man and the shell completions to target/completions
///
/// Pages bear the date of the last commit, or that of the variable `SOURCE_DATE_EPOCH`.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask man && man -l target/man/partymeter.1")]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every verb has the same form")]
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Build])?;
        let (sh, target) = (&project.sh, &project.target);
        let date = match sh.var("SOURCE_DATE_EPOCH") {
            Ok(date) => Some(date),
            // A source archive has no commits: the pages then bear today's date.
            Err(_) => cmd!(sh, "git log -1 --format=%ct")
                .quiet()
                .ignore_stderr()
                .read()
                .ok(),
        };
        let _date = date.map(|date| sh.push_env("SOURCE_DATE_EPOCH", date));
        let directories = ["man", "completions"].map(|name| target.join(name));
        for directory in &directories {
            // Those of verbs that no longer exist.
            sh.remove_path(directory)?;
        }
        cmd!(
            sh,
            "cargo run --release -p partymeter --example manual -- {target}"
        )
        .run()?;
        for directory in directories {
            say(directory.display());
        }
        Ok(())
    }
}
