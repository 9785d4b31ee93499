//! The compiler that builds the BPF side, and how it does. One file for both who ask: `build.rs` and `cargo xtask`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// The target of the BPF side, on a little-endian machine.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Where a toolchain comes from, and so how it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// rustup's nightly with its component `rust-src`.
    Nightly,
    /// The distribution's packages, in /usr.
    Packaged,
}

/// A compiler that may use unstable features, has the source of its own library and is new enough.
pub(crate) struct Toolchain {
    pub(crate) origin: Origin,
    /// Major version of the LLVM whose bitcode it emits: `bpf-linker` reads that of its own LLVM and older.
    pub(crate) llvm: u32,
}

impl Toolchain {
    /// What the distribution packages where it will do, for the same distribution has an LLVM for it; else rustup's
    /// nightly.
    pub(crate) fn find() -> Option<Self> {
        [Origin::Packaged, Origin::Nightly]
            .into_iter()
            .find_map(Self::probe)
    }

    fn probe(origin: Origin) -> Option<Self> {
        let sysroot = match origin {
            Origin::Nightly => ask(origin.tool("rustc").args(["--print", "sysroot"]))?,
            Origin::Packaged => "/usr".to_owned(),
        };
        if !Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core")
            .exists()
        {
            return None;
        }
        let about = ask(origin.tool("rustc").arg("-vV"))?;
        let release = major_minor(field(&about, "release: ")?)?;
        let llvm = major_minor(field(&about, "LLVM version: ")?)?.0;
        (release >= major_minor(env!("CARGO_PKG_RUST_VERSION"))?).then_some(Self { origin, llvm })
    }

    /// Its `cargo` or another of its programs, free of what an outer cargo left in the environment.
    pub(crate) fn tool(&self, name: &str) -> Command {
        self.origin.tool(name)
    }

    /// Builds a binary of the crate in `source` for a kernel on `arch` and returns its path. `features` are the crate's.
    ///
    /// `aya-build` would do, but it sets every rustc flag itself and leaves no room for the CPU version that
    /// compare-and-swap and exchange need.
    pub(crate) fn build(
        &self,
        source: &Path,
        binary: &str,
        features: &str,
        target_dir: &Path,
        arch: &str,
    ) -> anyhow::Result<PathBuf> {
        let mut cargo = self.tool("cargo");
        cargo
            .current_dir(source)
            .args(["build", "--release", "--locked", "-Zbuild-std=core"])
            .args(["--bin", binary, "--features", features])
            .args(["--target", TARGET, "--target-dir"])
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", Self::flags(arch))
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
        // A profile that the environment sets is meant for the agent: a BPF object without optimisation does not verify.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PROFILE_") {
                cargo.env_remove(name);
            }
        }
        let output = cargo
            .output()
            .with_context(|| format!("cannot start {cargo:?}"))?;
        if !output.status.success() {
            bail!(
                "the BPF object does not build; `cargo xtask setup` installs what it needs, \
                 a bpf-linker with LLVM {} or later among it\n{cargo:?}\n{}",
                self.llvm,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(target_dir.join(TARGET).join("release").join(binary))
    }

    /// The flags of rustc for the BPF side, in the form of `CARGO_ENCODED_RUSTFLAGS`. `arch` is the kernel's.
    pub(crate) fn flags(arch: &str) -> String {
        [
            "-Clinker=bpf-linker",
            "-Clink-arg=--btf",
            "-Cdebuginfo=2",
            // v3: 32-bit registers and, with them, atomics that return the old value (Linux 5.12).
            "-Ctarget-cpu=v3",
            &format!("--cfg=bpf_target_arch=\"{arch}\""),
        ]
        .join("\x1f")
    }
}

impl Origin {
    fn tool(self, name: &str) -> Command {
        match self {
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command
                    .args(["run", "nightly", name])
                    .env_remove("CARGO")
                    .env_remove("RUSTC");
                command
            }
            Self::Packaged => {
                let mut command = Command::new(format!("/usr/bin/{name}"));
                command
                    .env("CARGO", "/usr/bin/cargo")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        }
    }
}

/// Standard output of a command that succeeds.
fn ask(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn field<'a>(about: &'a str, name: &str) -> Option<&'a str> {
    about.lines().find_map(|line| line.strip_prefix(name))
}

/// (1, 96) of `1.96.0-nightly`.
pub(crate) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
