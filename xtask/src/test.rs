//! `cargo xtask test`: every test, those that need root too, and the agent on other kernels.

use std::ffi::OsString;

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{
    build, kernels,
    privilege::Root,
    project::{Project, say},
    setup::{self, Group},
};

/// Run every test, as root where that can be had: the BPF tests need it
///
/// cargo runs as you, and only the test programs as root (by sudo if you are not). `PARTYMETER_BIN` tells them
/// where the built agent is. Without root and sudo the tests that need root are reported as ignored. At the end the agent
/// is checked on other kernels, as `cargo xtask kernels` does, unless only some tests are asked for.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask test -- adopt --nocapture")]
pub(crate) struct Args {
    /// Part of the names of the tests to run, and other arguments of the test programs
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Args {
    /// Some tests, as on the command line.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { arguments }
    }

    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        let kernels = self.arguments.is_empty() && kernels::can_boot();
        let groups = [Group::Test, Group::Kernels];
        setup::ensure(project, if kernels { &groups } else { &groups[..1] })?;
        let agent = build::agent(project)?;
        let _bin = project.sh.push_env("PARTYMETER_BIN", agent);
        build::fake_nvml(project)?;
        let root = Root::find(project);
        let runner = match root {
            Root::Already => Vec::new(),
            Root::Sudo => sudo_runner(project)?,
            Root::None => {
                say("Not root and no sudo: the tests that need root are ignored.");
                Vec::new()
            }
        };
        let (sh, arguments) = (&project.sh, &self.arguments);
        // What needs root is ignored where it cannot be had, and never passes unseen.
        let all = match root {
            Root::None => None,
            Root::Already | Root::Sudo => Some("--include-ignored"),
        };
        // In release, as the agent is: what its build made is used again.
        let tests = cmd!(
            sh,
            "cargo test --workspace --release --no-fail-fast {runner...} -- {all...} {arguments...}"
        );
        // Both, so that one run shows everything.
        let tests = tests.run();
        let kernels = if kernels {
            kernels::Args::default().run(project)
        } else {
            Ok(())
        };
        if tests.is_err() {
            bail!("tests failed, see above");
        }
        kernels
    }
}

/// The options that make cargo start the test programs by sudo, with this environment and search path.
fn sudo_runner(project: &Project) -> anyhow::Result<Vec<OsString>> {
    let sh = &project.sh;
    let about = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?;
    let path = sh.var("PATH")?;
    // sudo sets a search path of its own even with -E.
    let words = serde_json::json!(["sudo", "-E", "env", format!("PATH={path}")]);
    Ok(vec![
        "--config".into(),
        format!("target.{host}.runner={words}").into(),
    ])
}
