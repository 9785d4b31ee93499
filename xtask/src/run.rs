//! `cargo xtask run`: builds the agent and replaces itself by it.

use std::{env, ffi::OsString, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::Context as _;

use crate::{
    build,
    privilege::Root,
    project::{Project, say},
    setup::{self, Group},
};

/// Build the agent and start it as root, with its default configuration or with the arguments after `--`
#[derive(clap::Args)]
#[command(
    after_help = "Examples: cargo xtask run -- --config my.toml\n          cargo xtask run --fake-gpus h100x8"
)]
pub(crate) struct Args {
    /// Read simulated GPUs, such as h100x8 or a100x2,l40sx1; models: a100, h100, h200, b200, l40s, t4
    #[arg(long, value_name = "GPUS")]
    fake_gpus: Option<String>,
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
            Root::Sudo => say("The agent loads BPF programs, so it alone runs as root, by sudo."),
            Root::None => {
                say(
                    "Not root, and sudo is not installed: the agent starts, but cannot load its BPF programs.",
                );
            }
        }
        // Relative paths in the arguments start from the developer's directory.
        let _here = project.sh.push_dir(env::current_dir()?);
        let mut fake = Vec::new();
        let (among, arguments) = fake_gpus(&self.arguments)?;
        if let Some(gpus) = self.fake_gpus.as_ref().or(among) {
            fake.push(format!("PARTYMETER_FAKE_NVML={gpus}").into());
            let mut library = OsString::from("PARTYMETER_GPU_LIBRARY=");
            library.push(build::fake_nvml(project)?);
            fake.push(library);
        }
        // By `env`, because sudo does not pass variables on.
        let program = if fake.is_empty() {
            &*agent
        } else {
            Path::new("env")
        };
        let command = root.command(&project.sh, program).args(&fake);
        let command = if fake.is_empty() {
            command
        } else {
            command.arg(&agent)
        };
        let command = command.arg("run").args(arguments);
        say(format_args!("$ {command}"));
        // Not as a child process, so that the agent receives the signals and its exit code is this one's.
        let error = Command::from(command).exec();
        Err(error).with_context(|| format!("cannot start {}", agent.display()))
    }
}

/// Takes `--fake-gpus` out of the agent's arguments, where people also write it.
fn fake_gpus(arguments: &[String]) -> anyhow::Result<(Option<&String>, Vec<&String>)> {
    let Some(at) = arguments.iter().position(|word| word == "--fake-gpus") else {
        return Ok((None, arguments.iter().collect()));
    };
    let gpus = arguments
        .get(at + 1)
        .context("--fake-gpus needs GPUs, such as h100x8")?;
    let rest = arguments.iter().enumerate();
    let rest = rest.filter(|(place, _)| *place != at && *place != at + 1);
    Ok((Some(gpus), rest.map(|(_, word)| word).collect()))
}

#[cfg(test)]
mod tests {
    use super::fake_gpus;

    #[test]
    fn fake_gpus_may_stand_among_the_agents_arguments() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let given = words("--interval 1s --fake-gpus h100x8 --log-level debug");
        let (gpus, rest) = fake_gpus(&given).unwrap();
        assert_eq!(gpus.map(String::as_str), Some("h100x8"));
        assert_eq!(rest, ["--interval", "1s", "--log-level", "debug"]);
        assert!(fake_gpus(&words("--fake-gpus")).is_err());
        assert_eq!(fake_gpus(&words("--interval 1s")).unwrap().0, None);
    }
}
