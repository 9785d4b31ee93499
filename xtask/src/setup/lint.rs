//! What only `lint` needs: cargo-deny, rustfmt and clippy.

use std::path::Path;

use anyhow::Context as _;
use xshell::cmd;

use super::{apt::Apt, bpf};
use crate::{
    bpf_toolchain::{Origin, Toolchain},
    project::say,
};

/// The newest version that Rust 1.95 builds; the same for every developer.
const CARGO_DENY: &str = "0.20.2";

pub(super) fn cargo_deny(apt: &Apt<'_>) -> anyhow::Result<()> {
    if apt.project.has("cargo-deny") {
        return Ok(());
    }
    let sh = &apt.project.sh;
    cmd!(
        sh,
        "cargo install cargo-deny --version {CARGO_DENY} --locked"
    )
    .env_remove("CARGO_TARGET_DIR")
    .run()
    .context("cannot install cargo-deny, which checks the dependencies; `cargo install cargo-deny --locked` must work")
}

/// rustfmt and clippy of the toolchain for the host.
pub(super) fn components(apt: &Apt<'_>) -> anyhow::Result<()> {
    let sh = &apt.project.sh;
    let sysroot = cmd!(sh, "rustc --print sysroot").quiet().read()?;
    let programs = Path::new(&sysroot).join("bin");
    if programs.join("cargo-fmt").exists() && programs.join("cargo-clippy").exists() {
        return Ok(());
    }
    cmd!(sh, "rustup component add rustfmt clippy")
        .run()
        .context("rustfmt or clippy is missing; install them by `rustup component add rustfmt clippy` or from the packages of your Rust")
}

/// Clippy of the BPF toolchain. It is not an error if it cannot be installed: `lint` falls back to the compiler.
pub(super) fn bpf_clippy(apt: &Apt<'_>) {
    // A missing toolchain has been reported by its own part.
    let Some(toolchain) = Toolchain::find() else {
        return;
    };
    if bpf::has_clippy(&toolchain) {
        return;
    }
    let outcome = match toolchain.origin {
        Origin::Nightly => bpf::rustup(
            apt,
            &["component", "add", "clippy", "--toolchain", "nightly"],
        ),
        Origin::Packaged => {
            let owner = apt.owner("/usr/bin/rustc");
            let clippy = if owner.as_deref() == Some("rustc-web") {
                "rust-web-clippy"
            } else {
                "rust-clippy"
            };
            apt.install(&[clippy])
        }
    };
    if let Err(error) = outcome {
        say(format_args!(
            "Clippy for the BPF side cannot be installed: {error:#}"
        ));
    }
}
