//! `cargo xtask fuzz`: builds the fuzz targets of `tests/fuzz` with cargo-fuzz, and runs as many at a time as there are
//! processors. A target's output goes to a file; one line reports how it ended.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{
    project::{Project, say},
    setup::{self, Group},
};

/// Run the fuzz targets: generated input for every parser of foreign data
///
/// Builds with this toolchain and without a sanitizer, because the code has no unsafe parts. The target directory keeps
/// inputs that reach new code for the next run, and inputs that fail; these are tried first until they pass.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask fuzz ledger --seconds 600")]
pub(crate) struct Args {
    /// The target to run, a file in `tests/fuzz/fuzz_targets`; default: all
    target: Option<String>,
    /// How many seconds each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            target: None,
            seconds: 60,
        }
    }
}

/// Limits for each input: its size, its time, and the memory of the process.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=30", "-rss_limit_mb=512"];

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Fuzz])?;
        let targets = self.targets(project)?;
        let home = project.target.join("fuzz");
        let built = build(project, &home)?;
        let runner = Runner {
            home,
            built,
            seeds: source(project).join("seeds"),
            seconds: self.seconds,
        };
        // The targets that have not started, the next one last.
        let waiting = Mutex::new(targets.iter().rev().collect::<Vec<_>>());
        let failed = Mutex::new(Vec::new());
        let next = || waiting.lock().ok()?.pop();
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..at_once.min(targets.len()) {
                scope.spawn(|| {
                    while let Some(target) = next() {
                        let outcome = runner.fuzz(target);
                        if let Err(error) = outcome {
                            say(format_args!("fuzz {target}: {error:#}"));
                            failed.lock().into_iter().for_each(|mut it| it.push(target));
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap_or_default();
        if !failed.is_empty() {
            let names: Vec<&str> = failed.into_iter().map(String::as_str).collect();
            bail!("fuzz targets failed: {}", names.join(", "));
        }
        Ok(())
    }

    /// The names of the targets to run.
    fn targets(&self, project: &Project) -> anyhow::Result<Vec<String>> {
        let files = project.sh.read_dir(source(project).join("fuzz_targets"))?;
        let names = files.iter().filter_map(|file| file.file_stem());
        let all: Vec<String> = names
            .map(|name| name.to_string_lossy().replace('_', "-"))
            .collect();
        match &self.target {
            None => Ok(all),
            Some(name) if all.contains(name) => Ok(vec![name.clone()]),
            Some(name) => bail!(
                "{name:?} is not a fuzz target; the targets are {}",
                all.join(", ")
            ),
        }
    }
}

/// The paths and the duration of a run.
struct Runner {
    /// The directory of what is kept, and of each target's output.
    home: PathBuf,
    built: PathBuf,
    seeds: PathBuf,
    seconds: u32,
}

impl Runner {
    /// Runs one target and reports how it ended.
    fn fuzz(&self, target: &str) -> anyhow::Result<()> {
        let home = &self.home;
        let [corpus, artifacts] = ["corpus", "artifacts"].map(|name| home.join(name).join(target));
        let seeds = self.seeds.join(target);
        let log = home.join(format!("{target}.log"));
        for directory in [&corpus, &artifacts] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(self.built.join(target));
        command
            .args(LIMITS)
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            // New inputs go into the first directory; inputs that failed before are tried again.
            .args([&corpus, &artifacts])
            .args(seeds.exists().then_some(&seeds))
            .stdout(output.try_clone()?)
            .stderr(output);
        say(format_args!("$ {command:?}"));
        let status = command.status();
        let status = status.with_context(|| format!("cannot start {target}"))?;
        let said = fs::read(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if status.success() {
            say(format_args!("fuzz {target}: {}", summary(&said)));
            return Ok(());
        }
        let input = failing_input(&said).unwrap_or("none was saved");
        bail!(
            "{status}: {}\n  the input: {input}\n  the output: {}",
            reason(&said),
            log.display()
        )
    }
}

fn source(project: &Project) -> PathBuf {
    project.root.join("tests/fuzz")
}

/// Builds all targets and returns their directory.
fn build(project: &Project, home: &Path) -> anyhow::Result<PathBuf> {
    let sh = &project.sh;
    // Overflows panic as in tests. With one code generation unit the build would take minutes.
    cmd!(
        sh,
        "cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --debug-assertions --codegen-units 16 --target-dir {home}"
    )
    .run()
    .context("the fuzz targets cannot be built")?;
    let about = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    Ok(home.join(host).join("release"))
}

/// How much was done, from libFuzzer's last lines: `Done 123 runs in 61 second(s)`.
fn summary(said: &str) -> String {
    let coverage = said.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(" cov: ")?;
        rest.split(' ').next()
    });
    let done = said.lines().rev().find(|line| line.starts_with("Done "));
    let coverage = coverage.unwrap_or("0");
    format!("{}, {coverage} code edges reached", done.unwrap_or("ended"))
}

/// The file that has the failing input.
fn failing_input(said: &str) -> Option<&str> {
    let words = "Test unit written to ";
    said.lines()
        .rev()
        .find_map(|line| line.split_once(words))
        .map(|(_, file)| file.trim())
}

/// What went wrong: the panic and its message, or else libFuzzer's error.
fn reason(said: &str) -> String {
    let mut lines = said.lines();
    if let Some(panic) = lines.find(|line| line.contains(" panicked at ")) {
        let words: Vec<&str> = [panic].into_iter().chain(lines.take(3)).collect();
        return words.join("\n    ");
    }
    let mut lines = said.lines().rev();
    let error = lines.find(|line| line.contains("ERROR: ") || line.starts_with("SUMMARY: "));
    error.unwrap_or("it gives no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_target_is_read_from_its_output() {
        let well = "#9\tINITED cov: 88 ft: 95\n#4096\tpulse  cov: 90 ft: 99\n#5000\tDONE   cov: 91 ft: 99\nDone 5000 runs in 61 second(s)\n";
        assert_eq!(
            summary(well),
            "Done 5000 runs in 61 second(s), 91 code edges reached"
        );
        assert_eq!(failing_input(well), None);

        let panic = "#2\tNEW cov: 3\n\nthread '<unnamed>' (7) panicked at fuzz_targets/btf.rs:9:5:\nheld 9 bytes\nnote: run\n==7== ERROR: libFuzzer: deadly signal\nartifact_prefix='/t/'; Test unit written to /t/crash-1\n";
        assert_eq!(failing_input(panic), Some("/t/crash-1"));
        assert!(reason(panic).contains("btf.rs:9:5:\n    held 9 bytes"));
        let slow = "ALARM: working on the last Unit for 6 seconds\n==7== ERROR: libFuzzer: timeout after 6 seconds\nSUMMARY: libFuzzer: timeout\n";
        assert_eq!(reason(slow), "SUMMARY: libFuzzer: timeout");
        assert_eq!(reason(""), "it gives no reason");
    }
}
