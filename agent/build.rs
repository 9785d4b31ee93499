//! Builds the BPF object with its own toolchain and puts it where `source/network/loader.rs` embeds it from.
//!
//! `aya-build` would do, but it sets every rustc flag itself and leaves no room for the CPU version that
//! compare-and-swap and exchange need.

mod bpf_toolchain;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bpf_toolchain::{TARGET, Toolchain};

const BINARY: &str = "partymeter-bpf";

fn main() -> anyhow::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent-ebpf");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let target_dir = out.join("bpf");
    println!("cargo:rerun-if-changed={}", source.display());

    let arch =
        std::env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let toolchain = Toolchain::find().with_context(|| {
        format!(
            "no Rust {} or later with its library source: run `cargo xtask setup`",
            env!("CARGO_PKG_RUST_VERSION")
        )
    })?;
    let mut cargo = toolchain.tool("cargo");
    cargo
        .current_dir(&source)
        .args([
            "build",
            "--release",
            "--locked",
            "--bins",
            "-Zbuild-std=core",
        ])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", Toolchain::flags(&arch))
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let output = cargo
        .output()
        .with_context(|| format!("cannot start {cargo:?}"))?;
    if !output.status.success() {
        bail!(
            "the BPF object does not build; `cargo xtask setup` installs what it needs, \
             a bpf-linker with LLVM {} or later among it\n{cargo:?}\n{}",
            toolchain.llvm,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let built = target_dir.join(TARGET).join("release").join(BINARY);
    std::fs::copy(&built, out.join(BINARY))
        .with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(())
}
