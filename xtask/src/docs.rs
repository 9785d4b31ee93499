//! `cargo xtask docs`: writes the generated parts of the reference pages from what the built agent prints. Each part stands
//! between `<!-- generated: NAME -->` and `<!-- end -->`.

use std::path::Path;

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::{
    build,
    project::{Project, say},
    setup::{self, Group},
};

/// A generated part of a page.
struct Part {
    /// The page.
    file: &'static str,
    /// The name in its marker.
    name: &'static str,
    /// The agent's arguments that print it.
    arguments: &'static [&'static str],
}

const PARTS: &[Part] = &[
    Part {
        file: "agent/docs/metrics.md",
        name: "metrics",
        arguments: &["metrics", "--format", "markdown"],
    },
    Part {
        file: "agent/docs/configuration.md",
        name: "configuration",
        arguments: &["config", "--options"],
    },
];

const END: &str = "<!-- end -->";

/// Write the generated tables of agent/docs: metrics and configuration
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing, and fail if a table is stale
    #[arg(long)]
    pub(crate) check: bool,
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Build])?;
        let agent = build::agent(project)?;
        let sh = &project.sh;
        for part in PARTS {
            let arguments = part.arguments;
            let command = cmd!(sh, "{agent} {arguments...}");
            let text = command.read()?;
            if text.is_empty() {
                bail!("`{command}` printed nothing for the part `{}`", part.name);
            }
            let file = project.root.join(part.file);
            if self.check {
                check(sh, &file, part.name, &text)?;
            } else {
                write(sh, &file, part.name, &text)?;
            }
        }
        Ok(())
    }
}

fn check(sh: &Shell, file: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    let text = read(sh, file)?;
    let fresh = replace(&text, name, content).with_context(|| in_file(file))?;
    if fresh != text {
        bail!(
            "{}: the part `{name}` is stale; `cargo xtask docs` updates it",
            file.display()
        );
    }
    Ok(())
}

fn write(sh: &Shell, file: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    let old = read(sh, file)?;
    let new = replace(&old, name, content).with_context(|| in_file(file))?;
    if new == old {
        say(format_args!("{} is current.", file.display()));
    } else {
        sh.write_file(file, new)?;
        say(format_args!("{} written.", file.display()));
    }
    Ok(())
}

fn read(sh: &Shell, file: &Path) -> anyhow::Result<String> {
    if !file.exists() {
        bail!("{} does not exist", file.display());
    }
    Ok(sh.read_file(file)?)
}

fn in_file(file: &Path) -> String {
    file.display().to_string()
}

/// `text` with `content` between the markers of the part `name`.
fn replace(text: &str, name: &str, content: &str) -> anyhow::Result<String> {
    let start = format!("<!-- generated: {name} -->");
    let (before, rest) = text
        .split_once(&start)
        .with_context(|| format!("the marker `{start}` is missing"))?;
    let (old, after) = rest
        .split_once(END)
        .with_context(|| format!("the marker `{END}` is missing after `{start}`"))?;
    if old.contains("<!-- generated:") {
        bail!("the marker `{END}` is missing after `{start}`");
    }
    Ok(format!(
        "{before}{start}\n\n{}\n\n{END}{after}",
        content.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Name\n<!-- generated: metrics -->\nold\n<!-- end -->\nmore\n";

    #[test]
    fn a_stale_part_fails_the_check_and_is_rewritten() {
        let sh = Shell::new().unwrap();
        let directory = sh.create_temp_dir().unwrap();
        let file = directory.path().join("page.md");
        sh.write_file(&file, PAGE).unwrap();

        let error = check(&sh, &file, "metrics", "| new |\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{}: the part `metrics` is stale; `cargo xtask docs` updates it",
                file.display()
            )
        );
        assert_eq!(sh.read_file(&file).unwrap(), PAGE, "a check writes nothing");

        write(&sh, &file, "metrics", "| new |\n").unwrap();
        assert_eq!(
            sh.read_file(&file).unwrap(),
            "# Name\n<!-- generated: metrics -->\n\n| new |\n\n<!-- end -->\nmore\n"
        );
        check(&sh, &file, "metrics", "| new |\n").unwrap();
    }

    #[test]
    fn missing_files_and_markers_are_named() {
        let sh = Shell::new().unwrap();
        let directory = sh.create_temp_dir().unwrap();
        let file = directory.path().join("page.md");
        let error = check(&sh, &file, "metrics", "x").unwrap_err();
        assert!(error.to_string().ends_with("page.md does not exist"));

        for (text, missing) in [
            (
                "no marker",
                "the marker `<!-- generated: metrics -->` is missing",
            ),
            (
                "<!-- generated: metrics -->\nnever ends",
                "the marker `<!-- end -->` is missing after `<!-- generated: metrics -->`",
            ),
            (
                "<!-- generated: metrics -->\n<!-- generated: other -->\n<!-- end -->",
                "the marker `<!-- end -->` is missing after `<!-- generated: metrics -->`",
            ),
        ] {
            sh.write_file(&file, text).unwrap();
            for outcome in [
                check(&sh, &file, "metrics", "x"),
                write(&sh, &file, "metrics", "x"),
            ] {
                let error = format!("{:#}", outcome.unwrap_err());
                assert_eq!(error, format!("{}: {missing}", file.display()));
            }
            assert_eq!(
                sh.read_file(&file).unwrap(),
                text,
                "nothing is half written"
            );
        }
    }
}
