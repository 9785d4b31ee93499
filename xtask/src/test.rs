//! `cargo xtask test`: every test, with and without root, the fuzz targets, and the agent on other kernels.

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

/// Run every test; those of BPF programs as root
///
/// cargo runs as you; the test programs run as root, by sudo if you are not root. The variable `PARTYMETER_BIN` names the
/// built agent. Tests that need something that is missing, such as root, are ignored and listed at the end with the
/// reason; it is an error if you asked for such a test by its name. If you select no tests, each fuzz target then runs for
/// a minute (`cargo xtask fuzz`), and the agent is checked on other kernels (`cargo xtask kernels`).
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask test -- adopt --nocapture")]
pub(crate) struct Args {
    /// Fail if root or something that `cargo xtask setup` installs is missing; the default if the variable CI is set
    #[arg(long)]
    strict: bool,
    /// Parts of the names of the tests to run, and other arguments of the test programs
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Args {
    /// The verb with these arguments of the test programs.
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
            // The tests that need what is missing are ignored.
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
        // In release as the agent, whose dependencies are built already.
        let tests = cmd!(
            sh,
            "cargo test --workspace --release --no-fail-fast {runner...} -- {options...} {arguments...}"
        );
        // A failure does not stop the rest, so that one run shows everything.
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
        ignored.list();
        if everything && !kernels::can_boot() {
            say("ignored: the agent on other kernels, which boot on x86-64 only");
        }
        if tests.is_err() {
            bail!("tests failed, see above");
        }
        fuzz.and(kernels)
    }
}

/// Runs the fuzz targets, or ignores them where what they need cannot be installed.
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
    // sudo sets its own search path even with -E.
    let words = serde_json::json!(["sudo", "-E", "env", format!("PATH={path}")]);
    Ok(vec![
        "--config".into(),
        format!("target.{host}.runner={words}").into(),
    ])
}
