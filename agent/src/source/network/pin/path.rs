//! The directory that counters are pinned under, and why it cannot be used.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::{
    Misconfigured,
    config::{Config, Pin},
    finding::or_else,
    safe_dir::UnsafeDirectory,
};

/// Where BPF file systems are mounted.
const MOUNT: &str = "/sys/fs/bpf";
/// The default directory in it.
const NAME: &str = "partymeter";

/// The directory of a configuration.
pub(super) enum PinPath {
    /// Nothing is pinned, for this reason.
    Disabled(String),
    /// `chosen`: the configuration names it.
    At { path: PathBuf, chosen: bool },
}

impl PinPath {
    pub(super) fn of(config: &Config) -> Result<Self, Misconfigured> {
        let path = match &config.network.bpf_pin_path {
            Pin::Nothing => return Ok(Self::Disabled("network.bpf_pin_path is \"\"".to_owned())),
            Pin::At(path) => path.clone(),
            Pin::Mounted if is_bpf(Path::new(MOUNT)) => {
                let path = Path::new(MOUNT).join(NAME);
                return Ok(Self::At {
                    path,
                    chosen: false,
                });
            }
            Pin::Mounted => {
                let why = format!("no BPF file system is mounted at {MOUNT}");
                return Ok(Self::Disabled(why));
            }
        };
        let nearest = if path.exists() {
            Some(path.as_path())
        } else {
            path.parent()
        };
        if nearest.is_some_and(is_bpf) {
            return Ok(Self::At { path, chosen: true });
        }
        Err(invalid_pin_path(&format!(
            "{} is not in a BPF file system; help: mount one with `mount -t bpf bpf {MOUNT}` and name a directory there",
            path.display()
        )))
    }
}

pub(super) fn unusable_directory(error: &UnsafeDirectory) -> String {
    format!("cannot use the directory: {error}")
}

pub(super) fn invalid_pin_path(why: &str) -> Misconfigured {
    Misconfigured(or_else(
        &format!("network.bpf_pin_path: {why}"),
        "set it to \"\" to pin nothing",
    ))
}

pub(super) fn in_use(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "network.bpf_pin_path: an agent is running with {}; help: stop it first, or set another directory, or \"\" for none",
        path.display()
    )
}

pub(super) fn is_bpf(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

pub(super) fn counters_reset(path: &Path, why: &str) -> String {
    format!(
        "counters start at 0: cannot resume from {}: {why}; help: none needed, unless the agent that pinned them is to resume",
        path.display()
    )
}

pub(super) fn counters_not_pinned(why: &str) -> String {
    or_else(
        &format!("counters end with the agent ({why})"),
        "set network.bpf_pin_path to a directory of a BPF file system, or to \"\" for none",
    )
}
