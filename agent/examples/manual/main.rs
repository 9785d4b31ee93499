//! Writes the manual pages and the shell completions of `partymeter` into a directory, from the definition of its command
//! line. `cargo xtask man` calls it; the agent itself has none of it.

mod page;

use std::{
    env, fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use clap::{Command, ValueEnum as _};
use clap_complete::Shell;
use partymeter::args;

fn main() -> anyhow::Result<()> {
    let directory = env::args_os().nth(1);
    let directory = directory.context("name the directory to write to")?;
    write(Path::new(&directory))
        .with_context(|| format!("cannot write to {}", Path::new(&directory).display()))
}

/// Writes `man/*.1` and `completions/*`.
fn write(directory: &Path) -> io::Result<()> {
    let [man, completions] = ["man", "completions"].map(|name| directory.join(name));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let mut command = args::command();
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command, "partymeter", &completions)?;
    }
    // A page for the verb `help` would repeat the others.
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, &date(), &man)
}

/// The day of the pages: of the source if `SOURCE_DATE_EPOCH` tells it, as packages want it, else today.
fn date() -> String {
    let source = env::var("SOURCE_DATE_EPOCH").ok();
    let source = source.and_then(|seconds| seconds.parse().ok());
    let time = source
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .unwrap_or_else(SystemTime::now);
    let text = humantime::format_rfc3339(time).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Writes the page of a command and those of its subcommands.
fn write_pages(command: &Command, date: &str, directory: &Path) -> io::Result<()> {
    let (name, text) = page::page(command, date)?;
    fs::write(directory.join(name), text)?;
    command
        .get_subcommands()
        .try_for_each(|subcommand| write_pages(subcommand, date, directory))
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, process};

    use super::*;

    /// What is written, and the files in one of its directories.
    fn written(name: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let files = fs::read_dir(directory.path().join(name)).unwrap();
        let files = files.map(|file| file.unwrap().path()).collect();
        (directory, files)
    }

    /// What a program prints when it is given a file; it must succeed.
    fn output(program: &str, arguments: &[&str], file: &Path) -> String {
        let mut command = process::Command::new(program);
        let output = command.args(arguments).arg(file).output();
        let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "{program} {file:?}: {text}");
        text
    }

    #[test]
    fn every_verb_has_a_page() {
        let (_directory, files) = written("man");
        let names = files.iter().map(|file| file.file_stem().unwrap());
        let mut names: Vec<_> = names.map(|name| name.to_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "partymeter",
                "partymeter-check",
                "partymeter-config",
                "partymeter-detach",
                "partymeter-gpu",
                "partymeter-gpu-release",
                "partymeter-ledger",
                "partymeter-ledger-compare",
                "partymeter-ledger-export",
                "partymeter-log-level",
                "partymeter-metrics",
                "partymeter-parties",
                "partymeter-parties-import",
                "partymeter-run",
            ]
        );
    }

    #[test]
    #[ignore = "needs mandoc: `cargo xtask setup test` installs it"]
    fn pages_are_well_formed() {
        let (_directory, files) = written("man");
        for file in files {
            let lint = output("mandoc", &["-T", "lint", "-W", "warning"], &file);
            assert_eq!(lint, "", "{}", file.display());
            let text = fs::read_to_string(&file).unwrap();
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "\"SEE ALSO\""] {
                let title = format!("\n.SH {section}\n");
                assert!(text.contains(&title), "{}: {section}", file.display());
            }
        }
    }

    #[test]
    fn bash_takes_its_completions() {
        let (_directory, files) = written("completions");
        let is_bash = |file: &&PathBuf| file.extension().is_some_and(|it| it == "bash");
        let file = files.iter().find(is_bash).unwrap();
        let script = "source \"$1\"; COMP_WORDS=(partymeter led); COMP_CWORD=1
            _partymeter partymeter led partymeter; echo \"${COMPREPLY[@]}\"";
        let found = output("bash", &["-c", script, "bash"], file);
        assert_eq!(found, "ledger\n");
    }

    #[test]
    #[ignore = "needs zsh: `cargo xtask setup test` installs it"]
    fn zsh_takes_its_completions() {
        let (directory, _files) = written("completions");
        output(
            "zsh",
            &["-n"],
            &directory.path().join("completions/_partymeter"),
        );
    }

    #[test]
    #[ignore = "needs fish: `cargo xtask setup test` installs it"]
    fn fish_takes_its_completions() {
        let (_directory, files) = written("completions");
        let is_fish = |file: &&PathBuf| file.extension().is_some_and(|it| it == "fish");
        let file = files.iter().find(is_fish).unwrap();
        let script = "source $argv[1]; complete --do-complete 'partymeter led'";
        let found = output("fish", &["-c", script], file);
        assert!(found.starts_with("ledger\t"), "{found}");
    }
}
