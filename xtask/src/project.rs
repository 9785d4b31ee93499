//! What every verb needs: a shell in the project's root that shows each command before it runs it, the paths of what is
//! built, and the search for commands. What the verbs do lives in their own modules.

use std::{
    env,
    ffi::OsString,
    fmt::Display,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

/// The project: its shell and its directories.
pub(crate) struct Project {
    /// Runs commands in `root`, shows each one, and finds the programs that `cargo xtask setup` installed.
    pub(crate) sh: Shell,
    pub(crate) root: PathBuf,
    /// Cargo's target directory, which the environment or cargo's configuration may have moved.
    pub(crate) target: PathBuf,
}

impl Project {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent directory")?
            .to_owned();
        let sh = Shell::new()?;
        sh.change_dir(&root);
        let metadata = cmd!(sh, "cargo metadata --no-deps --format-version 1")
            .quiet()
            .read()?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"]
            .as_str()
            .context("`cargo metadata` names no target directory")?;
        let project = Self {
            sh,
            root,
            target: target.into(),
        };
        project.sh.set_var("PATH", project.search_path()?);
        Ok(project)
    }

    /// The path of a program of this workspace, built in release.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// The directory of the Python environment that the tests use.
    pub(crate) fn python(&self) -> PathBuf {
        self.target.join("python")
    }

    /// The directory in which Debian's Prometheus is unpacked where Prometheus is not installed.
    pub(crate) fn prometheus(&self) -> PathBuf {
        self.target.join("prometheus")
    }

    /// The directory in which Debian's package of NVML is unpacked.
    pub(crate) fn nvml(&self) -> PathBuf {
        self.target.join("nvml")
    }

    /// The directory in which Debian's `VictoriaMetrics` is unpacked.
    pub(crate) fn victoria_metrics(&self) -> PathBuf {
        self.target.join("victoria-metrics")
    }

    /// The file that a command's name resolves to.
    pub(crate) fn find(&self, command: &str) -> Option<PathBuf> {
        let path = self.sh.var_os("PATH")?;
        env::split_paths(&path)
            .map(|directory| directory.join(command))
            .find(|file| file.is_file())
    }

    pub(crate) fn has(&self, command: &str) -> bool {
        self.find(command).is_some()
    }

    /// Shows and runs a command that was not made by `sh`.
    pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        let arguments = command.get_args().map(|word| word.to_string_lossy());
        let arguments: Vec<_> = arguments.collect();
        say(format_args!("$ {program} {}", arguments.join(" ")));
        let status = command
            .status()
            .with_context(|| format!("cannot start {program}"))?;
        if !status.success() {
            bail!("{program} failed: {status}");
        }
        Ok(())
    }

    /// The environment's search path, preceded by the directories of test programs and followed by the administrator's
    /// directories, which a user's path lacks on Debian.
    fn search_path(&self) -> anyhow::Result<OsString> {
        let given = self.sh.var_os("PATH").unwrap_or_default();
        let directories = [self.python().join("bin"), self.prometheus().join("usr/bin")]
            .into_iter()
            .chain(env::split_paths(&given))
            .chain(["/usr/sbin".into(), "/sbin".into()]);
        Ok(env::join_paths(directories)?)
    }
}

/// Prints a line on standard error, where the commands are shown too.
#[expect(clippy::print_stderr, reason = "the one place that prints")]
pub(crate) fn say(line: impl Display) {
    eprintln!("{line}");
}
