//! `cargo xtask run`: builds the agent and becomes it.

use std::{env, os::unix::process::CommandExt as _, process::Command};

use anyhow::Context as _;

use crate::{
    build,
    privilege::Root,
    project::{Project, say},
    setup::{self, Group},
};

/// Set up, build and start the agent as root, with its embedded configuration or with the arguments after `--`
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask run -- --config my.toml")]
pub(crate) struct Args {
    /// Arguments of `partymeter run`
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Build])?;
        let agent = build::agent(project)?;
        let root = Root::find(project);
        match root {
            Root::Already => {}
            Root::Sudo => say("The agent loads BPF programs: only it runs as root, by sudo."),
            Root::None => {
                say("Not root and no sudo: the agent starts, but cannot load its BPF programs.");
            }
        }
        // Relative paths in the arguments are the developer's, not the project's.
        let _here = project.sh.push_dir(env::current_dir()?);
        let command = root
            .command(&project.sh, &agent)
            .arg("run")
            .args(&self.arguments);
        say(format_args!("$ {command}"));
        // Not a child: the developer's signals and the exit code are the agent's own.
        let error = Command::from(command).exec();
        Err(error).with_context(|| format!("cannot start {}", agent.display()))
    }
}
