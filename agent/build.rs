//! Builds the BPF object with its own toolchain and puts it where `source/network/loader.rs` embeds it from.
//!
//! `aya-build` would do, but it sets every rustc flag itself and leaves no room for the CPU version that
//! compare-and-swap and exchange need.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

const TARGET: &str = "bpfel-unknown-none";
const BINARY: &str = "partymeter-bpf";

fn main() -> anyhow::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent-ebpf");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let target_dir = out.join("bpf");
    println!("cargo:rerun-if-changed={}", source.display());

    let arch =
        std::env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let flags = [
        "-Clinker=bpf-linker",
        "-Clink-arg=--btf",
        "-Cdebuginfo=2",
        // v3: 32-bit registers and, with them, atomics that return the old value (Linux 5.12).
        "-Ctarget-cpu=v3",
        &format!("--cfg=bpf_target_arch=\"{arch}\""),
    ]
    .join("\x1f");

    let mut cargo = toolchain()?;
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
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let output = cargo
        .output()
        .with_context(|| format!("cannot start {cargo:?}"))?;
    if !output.status.success() {
        bail!(
            "the BPF object does not build; `cargo xtask setup` installs what it needs\n{cargo:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let built = target_dir.join(TARGET).join("release").join(BINARY);
    std::fs::copy(&built, out.join(BINARY))
        .with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(())
}

/// `cargo` of a compiler that may use unstable features and has the source of its own library: rustup's
/// nightly with `rust-src`, else the one that the distribution packages.
fn toolchain() -> anyhow::Result<Command> {
    let has_source = |sysroot: &Path| sysroot.join("lib/rustlib/src/rust/library/core").exists();
    let nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    if nightly.is_some_and(|sysroot| has_source(&sysroot)) {
        let mut cargo = Command::new("rustup");
        cargo
            .args(["run", "nightly", "cargo"])
            .env_remove("RUSTC")
            .env_remove("CARGO");
        return Ok(cargo);
    }
    let packaged = Path::new("/usr");
    if packaged.join("bin/rustc").exists() && has_source(packaged) {
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN");
        return Ok(cargo);
    }
    bail!("no Rust toolchain with its library source: run `cargo xtask setup`")
}
