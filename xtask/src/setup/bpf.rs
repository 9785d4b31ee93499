//! The BPF toolchain: a Rust toolchain with the source of its library, and bpf-linker with an LLVM that reads the bitcode of
//! that Rust. `bpf_toolchain` finds the toolchain, as it does for `agent/build.rs`.

use anyhow::{Context as _, bail};
use xshell::cmd;

use super::apt::Apt;
use crate::{
    bpf_toolchain::{Origin, Toolchain, major_minor},
    project::{Project, say},
};

/// Debian's compilers. First the one that is kept current for web browsers, because a stable release's own is old.
const PACKAGED: [[&str; 3]; 2] = [
    ["rustc-web", "cargo-web", "rust-web-src"],
    ["rustc", "cargo", "rust-src"],
];

/// The version of bpf-linker to install; older ones are replaced.
const BPF_LINKER: &str = "0.13.0";

/// The newest LLVM with which this bpf-linker builds.
const NEWEST_LLVM: u32 = 23;

const LINKER_RELEASES: &str = "https://github.com/aya-rs/bpf-linker/releases";

pub(super) fn compiler(apt: &Apt<'_>) -> anyhow::Result<()> {
    match Toolchain::find() {
        Some(_) => Ok(()),
        None => install_compiler(apt),
    }
}

/// After `compiler`, whose LLVM it must match. Without a compiler it still reports a missing bpf-linker.
pub(super) fn linker(apt: &Apt<'_>) -> anyhow::Result<()> {
    let Some(toolchain) = Toolchain::find() else {
        return match linker_fault(apt.project, 0) {
            Some(fault) => bail!("{fault}, and the LLVM that it needs depends on that Rust"),
            None => Ok(()),
        };
    };
    let Some(fault) = linker_fault(apt.project, toolchain.llvm) else {
        return Ok(());
    };
    let outcome = install_linker(apt, toolchain.llvm, &fault);
    // A nightly can be ahead of every LLVM of the distribution; the distribution's own Rust is not.
    if outcome.is_err() && toolchain.origin == Origin::Nightly && install_packaged(apt).is_ok() {
        let packaged = Toolchain::find().filter(|found| found.origin == Origin::Packaged);
        return packaged.map_or(outcome, |_| linker(apt));
    }
    outcome
}

pub(crate) fn has_clippy(toolchain: &Toolchain) -> bool {
    toolchain
        .tool("cargo-clippy")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The distribution's packages first, because they do not change as often as a nightly does.
fn install_compiler(apt: &Apt<'_>) -> anyhow::Result<()> {
    let ways: [fn(&Apt<'_>) -> anyhow::Result<()>; 2] = [install_packaged, install_nightly];
    let mut reasons = Vec::new();
    for way in ways {
        if let Err(reason) = way(apt) {
            reasons.push(format!("{reason:#}"));
        }
        if Toolchain::find().is_some() {
            return Ok(());
        }
    }
    bail!(
        "no Rust {} or later with the source of its library, for the BPF programs ({}); install one by \
         `rustup toolchain install nightly --component rust-src`, or a package of it in /usr",
        env!("CARGO_PKG_RUST_VERSION"),
        reasons.join("; ")
    )
}

fn install_nightly(apt: &Apt<'_>) -> anyhow::Result<()> {
    let profile = ["--profile", "minimal", "--component", "rust-src"];
    rustup(
        apt,
        &[&["toolchain", "install", "nightly"], &profile[..]].concat(),
    )
}

fn install_packaged(apt: &Apt<'_>) -> anyhow::Result<()> {
    if !apt.exists() {
        bail!("apt-get is not installed");
    }
    let minimum = major_minor(env!("CARGO_PKG_RUST_VERSION"));
    let packages = PACKAGED
        .iter()
        .find(|packages| apt.candidate(packages[0]) >= minimum)
        .context("apt has no package with such a Rust")?;
    apt.install(packages)
}

/// Runs rustup quietly and for five minutes at most. If a download fails, the reason is one line.
pub(super) fn rustup(apt: &Apt<'_>, arguments: &[&str]) -> anyhow::Result<()> {
    if !apt.project.has("rustup") {
        bail!("rustup is not installed");
    }
    let sh = &apt.project.sh;
    let command = cmd!(sh, "timeout 300 rustup {arguments...}").ignore_status();
    say(format_args!("$ {command}"));
    let output = command.output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = words.lines().rev().find(|line| line.starts_with("error"));
        bail!("rustup: {}", last.unwrap_or("no answer in five minutes"));
    }
    Ok(())
}

/// What is wrong with the installed bpf-linker, if anything is.
fn linker_fault(project: &Project, llvm: u32) -> Option<String> {
    let Some(linker) = project.find("bpf-linker") else {
        return Some("bpf-linker is not installed".to_owned());
    };
    let sh = &project.sh;
    let answer = cmd!(sh, "{linker} --version")
        .quiet()
        .ignore_stderr()
        .read();
    let version = answer
        .ok()
        .and_then(|answer| major_minor(answer.strip_prefix("bpf-linker ")?));
    if version < major_minor(BPF_LINKER) {
        return Some(format!(
            "bpf-linker is older than {BPF_LINKER} or does not start"
        ));
    }
    let libraries = cmd!(sh, "ldd {linker}").quiet().ignore_stderr().read();
    // A released bpf-linker contains a sufficiently new LLVM and links to none.
    let own = linked_llvm(&libraries.unwrap_or_default())?;
    (own < llvm).then(|| format!("bpf-linker has LLVM {own}, rustc has LLVM {llvm}"))
}

/// 22 of `libLLVM.so.22.1 => …` or `libLLVM-22.so => …`.
fn linked_llvm(libraries: &str) -> Option<u32> {
    let (_, name) = libraries.split_once("libLLVM")?;
    let digits = name.split(|character: char| !character.is_ascii_digit());
    digits.into_iter().find_map(|digits| digits.parse().ok())
}

fn install_linker(apt: &Apt<'_>, llvm: u32, fault: &str) -> anyhow::Result<()> {
    let by_hand = || {
        format!(
            "{fault}; install version {BPF_LINKER} or later with LLVM {llvm} or later, released \
             at {LINKER_RELEASES}"
        )
    };
    let built_with = (llvm..=NEWEST_LLVM)
        .find(|version| apt.candidate(&format!("llvm-{version}-dev")).is_some())
        .with_context(by_hand)?;
    let (headers, polly) = (
        format!("llvm-{built_with}-dev"),
        format!("libpolly-{built_with}-dev"),
    );
    apt.install(&[&headers, &polly, "zlib1g-dev", "libzstd-dev", "g++"])
        .with_context(by_hand)?;
    let sh = &apt.project.sh;
    let feature = format!("llvm-{built_with}");
    cmd!(
        sh,
        "cargo install bpf-linker --version {BPF_LINKER} --locked --force --no-default-features --features {feature}"
    )
    .env("LLVM_PREFIX", format!("/usr/lib/llvm-{built_with}"))
    .env_remove("CARGO_TARGET_DIR")
    .run()
    .with_context(by_hand)
}

#[cfg(test)]
mod tests {
    use super::linked_llvm;

    #[test]
    fn the_linked_llvm_is_read() {
        let debian = "\tlinux-vdso.so.1 (0x00007f8f)\n\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x0)\n";
        assert_eq!(linked_llvm(debian), Some(22));
        assert_eq!(
            linked_llvm("\tlibLLVM-17.so => /usr/lib/libLLVM-17.so (0x0)\n"),
            Some(17)
        );
        assert_eq!(linked_llvm("\tlibLLVM.so.22.1 => not found\n"), Some(22));
        assert_eq!(linked_llvm("\tstatically linked\n"), None);
    }
}
