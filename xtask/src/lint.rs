//! `cargo xtask lint`: format, clippy on both sides, dependencies, generated documentation and its links. Every step runs, so one
//! call shows everything that is wrong.

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{
    bpf_toolchain::{TARGET, Toolchain},
    docs, links,
    project::{Project, say},
    setup::{self, Group},
};

/// A check: its name and what it runs.
type Step = (&'static str, fn(&Project) -> anyhow::Result<()>);

const STEPS: &[Step] = &[
    ("format", format),
    ("clippy", clippy),
    ("clippy of the BPF side", clippy_bpf),
    ("dependencies", dependencies),
    ("documentation", documentation),
    ("links", links::check),
];

/// Check format, clippy on the host and the BPF side, dependencies, that generated documentation is current and that its links lead somewhere
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every verb has the same form")]
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        setup::ensure(project, &[Group::Lint])?;
        let mut failed = Vec::new();
        for (name, step) in STEPS {
            if let Err(error) = step(project) {
                say(format_args!("{name}: {error:#}"));
                failed.push(*name);
            }
        }
        if !failed.is_empty() {
            bail!("lint found something in: {}", failed.join(", "));
        }
        say("lint: all clean");
        Ok(())
    }
}

fn format(project: &Project) -> anyhow::Result<()> {
    let sh = &project.sh;
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

fn clippy(project: &Project) -> anyhow::Result<()> {
    let sh = &project.sh;
    Ok(cmd!(
        sh,
        "cargo clippy --workspace --all-targets --locked -- -D warnings"
    )
    .run()?)
}

/// Clippy of the BPF toolchain, or where it has none, its compiler with warnings as errors.
fn clippy_bpf(project: &Project) -> anyhow::Result<()> {
    let toolchain =
        Toolchain::find().context("no Rust with its library source: run `cargo xtask setup`")?;
    let mut flags = Toolchain::flags(std::env::consts::ARCH);
    let mut command = if setup::has_bpf_clippy(&toolchain) {
        let mut command = toolchain.tool("cargo-clippy");
        command.arg("clippy");
        command
    } else {
        say("The BPF toolchain has no clippy: only the compiler's own warnings are checked.");
        flags.push_str("\x1f-Dwarnings");
        let mut command = toolchain.tool("cargo");
        command.arg("check");
        command
    };
    let clippy = command.get_args().any(|word| word == "clippy");
    command
        .args(["--release", "--locked", "--bins", "-Zbuild-std=core"])
        .args(["--features", "per-packet"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(project.target.join("bpf-lint"))
        .args(if clippy {
            &["--", "-Dwarnings"][..]
        } else {
            &[]
        })
        .current_dir(project.root.join("agent-ebpf"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    Project::run(&mut command)
}

/// Licences, bans and sources always; advisories where their database can be had.
fn dependencies(project: &Project) -> anyhow::Result<()> {
    let sh = &project.sh;
    cmd!(
        sh,
        "cargo deny --locked check --hide-inclusion-graph licenses bans sources"
    )
    .run()?;
    let fetched = cmd!(sh, "timeout 60 cargo deny fetch db")
        .ignore_stdout()
        .ignore_stderr()
        .run();
    if fetched.is_err() {
        say("Advisories were not checked: their database cannot be fetched from here.");
        return Ok(());
    }
    Ok(cmd!(sh, "cargo deny --locked check --disable-fetch advisories").run()?)
}

fn documentation(project: &Project) -> anyhow::Result<()> {
    docs::Args { check: true }.run(project)
}
