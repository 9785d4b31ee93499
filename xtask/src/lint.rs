//! `cargo xtask lint`: format, clippy on both sides, dependencies, generated documentation and links. Every step runs, so
//! that one call shows everything that is wrong.

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{
    bpf_toolchain::{TARGET, Toolchain},
    docs, links,
    project::{Project, say},
    setup::{self, Group},
};

/// The fuzz targets, a package outside the workspace.
const FUZZ: &str = "tests/fuzz/Cargo.toml";

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

/// Check format, lints, dependencies, generated documentation and links; must be clean before a merge
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
    cmd!(sh, "cargo fmt --all --check").run()?;
    Ok(cmd!(sh, "cargo fmt --manifest-path {FUZZ} --check").run()?)
}

fn clippy(project: &Project) -> anyhow::Result<()> {
    let sh = &project.sh;
    cmd!(
        sh,
        "cargo clippy --workspace --all-targets --features partymeter/fuzz --locked -- -D warnings"
    )
    .run()?;
    // Without libFuzzer, which is C++. In the same target directory, so that common dependencies are checked once.
    let target = &project.target;
    cmd!(
        sh,
        "cargo clippy --manifest-path {FUZZ} --target-dir {target} --no-default-features --locked -- -D warnings"
    )
    .run()
    .context(
        "clippy of the fuzz targets; if their Cargo.lock is not up to date, \
         `cargo update --workspace --manifest-path tests/fuzz/Cargo.toml` updates it",
    )
}

/// Clippy of the BPF toolchain or, where it has none, its compiler with warnings as errors.
fn clippy_bpf(project: &Project) -> anyhow::Result<()> {
    let toolchain = Toolchain::find().context(
        "no Rust toolchain with the source of its library was found; run `cargo xtask setup`",
    )?;
    let mut flags = Toolchain::flags(std::env::consts::ARCH);
    let mut command = if setup::has_bpf_clippy(&toolchain) {
        let mut command = toolchain.tool("cargo-clippy");
        command.arg("clippy");
        command
    } else {
        say("The BPF toolchain has no clippy: only the compiler's warnings are checked.");
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

/// Licences, bans and sources always; advisories where their database can be fetched.
fn dependencies(project: &Project) -> anyhow::Result<()> {
    let sh = &project.sh;
    cmd!(
        sh,
        "cargo deny --locked check --hide-inclusion-graph licenses bans sources"
    )
    .run()?;
    cmd!(
        sh,
        "cargo deny --manifest-path {FUZZ} --locked check --hide-inclusion-graph licenses bans sources"
    )
    .run()?;
    let fetched = cmd!(sh, "timeout 60 cargo deny fetch db")
        .ignore_stdout()
        .ignore_stderr()
        .run();
    if fetched.is_err() {
        say("Advisories are not checked: their database cannot be fetched from here.");
        return Ok(());
    }
    cmd!(sh, "cargo deny --locked check --disable-fetch advisories").run()?;
    Ok(cmd!(
        sh,
        "cargo deny --manifest-path {FUZZ} --locked check --disable-fetch advisories"
    )
    .run()?)
}

fn documentation(project: &Project) -> anyhow::Result<()> {
    docs::Args { check: true }.run(project)
}
