//! What only the fuzz targets need: cargo-fuzz, and a C++ compiler for libFuzzer.

use anyhow::Context as _;
use xshell::cmd;

use super::apt::Apt;

/// The same version for every developer.
const CARGO_FUZZ: &str = "0.13.2";

pub(super) fn cargo_fuzz(apt: &Apt<'_>) -> anyhow::Result<()> {
    if apt.project.has("cargo-fuzz") {
        return Ok(());
    }
    let sh = &apt.project.sh;
    cmd!(
        sh,
        "cargo install cargo-fuzz --version {CARGO_FUZZ} --locked"
    )
    .env_remove("CARGO_TARGET_DIR")
    .run()
    .context("cannot install cargo-fuzz, which builds the fuzz targets; `cargo install cargo-fuzz --locked` must work")
}

pub(super) fn compiler(apt: &Apt<'_>) -> anyhow::Result<()> {
    if apt.project.has("c++") {
        return Ok(());
    }
    apt.install(&["g++"])
        .context("libFuzzer needs a C++ compiler")
}
