//! Builds the BPF object with its own toolchain and puts it where `source/network/loader.rs` embeds it from.

mod bpf_toolchain;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bpf_toolchain::Toolchain;

const BINARY: &str = "partymeter-bpf";

fn main() -> anyhow::Result<()> {
    // Asked now, not when this was compiled: a copy of the target directory must not build what it was copied from.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let manifest = manifest.context("CARGO_MANIFEST_DIR is not set")?;
    let source = Path::new(&manifest).join("../agent-ebpf");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    println!("cargo:rerun-if-changed={}", source.display());

    let arch =
        std::env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let toolchain = Toolchain::find().with_context(|| {
        format!(
            "no Rust {} or later with its library source: run `cargo xtask setup`",
            env!("CARGO_PKG_RUST_VERSION")
        )
    })?;
    let built = toolchain.build(&source, BINARY, "", &out.join("bpf"), &arch)?;
    std::fs::copy(&built, out.join(BINARY))
        .with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(())
}
