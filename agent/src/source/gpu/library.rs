//! Finds NVML's library: as configured, where the loader looks, and where driver containers put it.

use std::{ffi::OsString, path::Path, sync::Arc};

use super::{
    api::{DeviceSelector, NvmlApi},
    error::{NvmlError, NvmlReturn},
    nvml,
};
use crate::{
    config::Gpu as Config,
    finding::{Finding, at_least},
    sample::FailureKind,
    source::Failure,
};

/// Directories that the loader does not search: of the GPU operator's driver container, GKE, Container-Optimized OS,
/// NixOS and WSL.
const DIRECTORIES: [&str; 7] = [
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "/run/nvidia/driver/usr/lib64",
    "/run/nvidia/driver/usr/lib/aarch64-linux-gnu",
    "/home/kubernetes/bin/nvidia/lib64",
    "/usr/local/nvidia/lib64",
    "/run/opengl-driver/lib",
    "/usr/lib/wsl/lib",
];

/// The paths to try, in order: the name as configured, then, if it has no directory, in each of [`DIRECTORIES`].
fn candidates(library: &str) -> Vec<OsString> {
    let directories = if library.contains('/') {
        &[][..]
    } else {
        &DIRECTORIES[..]
    };
    let elsewhere = directories
        .iter()
        .map(|directory| Path::new(directory).join(library))
        .filter(|path| path.exists());
    std::iter::once(library.into())
        .chain(elsewhere.map(Into::into))
        .collect()
}

/// Loads and initialises NVML.
///
/// # Errors
/// Why it cannot be loaded, with the way out.
pub(super) fn load(library: &str) -> Result<Arc<dyn NvmlApi>, Failure> {
    let mut missing = String::new();
    for path in candidates(library) {
        match nvml::load(&path) {
            Ok(library) => return Ok(Arc::new(library)),
            Err((NvmlReturn::LIBRARY_NOT_FOUND, reason)) => {
                // The reason for the configured name counts.
                if missing.is_empty() {
                    missing = reason;
                }
            }
            Err((code, reason)) => {
                let kind = match code {
                    NvmlReturn::DRIVER_NOT_LOADED => FailureKind::Absent,
                    NvmlReturn::NO_PERMISSION => FailureKind::Permission,
                    _ => FailureKind::Read,
                };
                let reason = format!("{}: {reason} ({})", path.display(), code.name());
                return Err(Failure::new(kind, reason));
            }
        }
    }
    let help = "install the NVIDIA driver, set gpu.library to the file, or set gpu.enabled = false";
    Err(Failure::new(
        FailureKind::Absent,
        format!("cannot load NVML: {missing}; help: {help}"),
    ))
}

/// Loads NVML for `partymeter check` and reports what it finds.
pub fn probe(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "GPUs";
    let library = match load(&config.library) {
        Ok(library) => library,
        // A machine without GPUs needs no help, unless the configuration names a library file.
        Err(failure) if failure.kind == FailureKind::Absent => {
            return vec![if config.library.contains('/') {
                Finding::optional(WHAT, Err(failure.reason))
            } else {
                Finding::required(WHAT, Ok(format!("none: {}", failure.reason)))
            }];
        }
        Err(failure) => {
            let line = at_least(failure.reason, SEE);
            return vec![Finding::required(WHAT, Err(line))];
        }
    };
    let count = match library.count() {
        Ok(count) => count,
        Err(error) => return vec![Finding::required(WHAT, Err(unreadable("the GPUs", error)))],
    };
    let version = library.versions().driver.as_deref().unwrap_or("unknown");
    let fake = if library.versions().fake {
        "; they are fake, from a library for tests"
    } else {
        ""
    };
    let all = format!("{count} by NVML, driver {version}{fake}");
    let mut findings = vec![Finding::required(WHAT, Ok(all))];
    for index in 0..count {
        let opened = library.open(&DeviceSelector::Index(index));
        if let Err(error) = opened.and_then(|mut device| device.identity()) {
            let line = unreadable(&format!("GPU {index}"), error);
            findings.push(Finding::required(WHAT, Err(line)));
        }
    }
    findings
}

fn unreadable(what: &str, error: NvmlError) -> String {
    at_least(format!("{what} cannot be read: {error}"), SEE)
}

/// Where to find more about a driver that does not work.
const SEE: &str = "see nvidia-smi, and NVRM in the kernel's log";
