//! `cargo xtask test`: every test, those that need root too, the fuzz targets, and the agent on other kernels.

use std::ffi::OsString;

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{
    build, fuzz,
    ignored::Ignored,
    kernels,
    privilege::Root,
    project::{Project, say},
    setup::{self, Group},
};

/// Run every test, as root where that can be had: the BPF tests need it
///
/// cargo runs as you, and only the test programs as root (by sudo if you are not). `PARTYMETER_BIN` tells them
/// where the built agent is. Tests that cannot run for want of something, as of root, are ignored, and told at the end
/// with the reason; one that is asked for by its name is an error then. Unless only some tests are asked for, each fuzz
/// target then runs for a minute, as by `cargo xtask fuzz`, and at the end the agent is checked on other kernels, as by
/// `cargo xtask kernels`.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask test -- adopt --nocapture")]
pub(crate) struct Args {
    /// Fail where a test is ignored for want of root or of what `cargo xtask setup` installs; as with the variable CI
    #[arg(long)]
    strict: bool,
    /// Part of the names of the tests to run, and other arguments of the test programs
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Args {
    /// Some tests, as on the command line.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self {
            strict: false,
            arguments,
        }
    }

    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        let everything = self.arguments.is_empty();
        let kernels = everything && kernels::can_boot();
        let strict = self.strict || project.sh.var_os("CI").is_some_and(|it| !it.is_empty());
        let groups = [Group::Build, Group::Kernels];
        setup::ensure(project, if kernels { &groups } else { &groups[..1] })?;
        match setup::ensure(project, &[Group::Test]) {
            Err(error) if strict => return Err(error),
            // What needs it is ignored.
            Err(error) => say(format_args!("{error:#}")),
            Ok(()) => {}
        }
        let agent = build::agent(project)?;
        let _bin = project.sh.push_env("PARTYMETER_BIN", agent);
        build::fake_nvml(project)?;
        let runner = match Root::find(project) {
            Root::Already | Root::None => Vec::new(),
            Root::Sudo => sudo_runner(project)?,
        };
        let (sh, arguments) = (&project.sh, &self.arguments);
        let ignored = Ignored::find(project, arguments)?;
        ignored.refuse(arguments, strict)?;
        let options = ["--include-ignored"].into_iter().chain(ignored.options());
        // In release, as the agent is: what its build made is used again.
        let tests = cmd!(
            sh,
            "cargo test --workspace --release --no-fail-fast {runner...} -- {options...} {arguments...}"
        );
        // All, so that one run shows everything.
        let tests = tests.run();
        let fuzz = if everything {
            fuzz_targets(project, strict)
        } else {
            Ok(())
        };
        let kernels = if kernels {
            kernels::Args::default().run(project)
        } else {
            Ok(())
        };
        ignored.tell();
        if everything && !kernels::can_boot() {
            say("ignored: the agent on other kernels, which can be booted on x86-64 only");
        }
        if tests.is_err() {
            bail!("tests failed, see above");
        }
        fuzz.and(kernels)
    }
}

/// Runs the fuzz targets, or ignores them where what they need cannot be had.
fn fuzz_targets(project: &Project, strict: bool) -> anyhow::Result<()> {
    match setup::ensure(project, &[Group::Fuzz]) {
        Err(missing) if strict => return Err(missing),
        Err(missing) => {
            say(format_args!("ignored: the fuzz targets: {missing:#}"));
            return Ok(());
        }
        Ok(()) => {}
    }
    fuzz::Args::default().run(project)
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
