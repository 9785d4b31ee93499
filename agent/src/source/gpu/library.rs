//! Where NVML's library is: as configured, where the loader looks, and where driver containers put it.

use std::{ffi::OsString, path::Path, sync::Arc};

use super::{
    nvml,
    raw::{Code, Driver},
};
use crate::{sample::FailureKind, source::Failure};

/// Folders that the loader does not know: of the GPU operator's driver container, GKE, Container-Optimized OS,
/// NixOS and WSL.
const FOLDERS: [&str; 7] = [
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "/run/nvidia/driver/usr/lib64",
    "/run/nvidia/driver/usr/lib/aarch64-linux-gnu",
    "/home/kubernetes/bin/nvidia/lib64",
    "/usr/local/nvidia/lib64",
    "/run/opengl-driver/lib",
    "/usr/lib/wsl/lib",
];

/// Every path to try, in order: the name as it stands first; a name without a folder then in each folder.
fn candidates(library: &str) -> Vec<OsString> {
    let folders = if library.contains('/') {
        &[][..]
    } else {
        &FOLDERS[..]
    };
    let elsewhere = folders
        .iter()
        .map(|folder| Path::new(folder).join(library))
        .filter(|path| path.exists());
    std::iter::once(library.into())
        .chain(elsewhere.map(Into::into))
        .collect()
}

/// Loads the library and starts it.
///
/// # Errors
/// Why it cannot be, with the mend.
pub(super) fn load(library: &str) -> Result<Arc<dyn Driver>, Failure> {
    let mut missing = String::new();
    for path in candidates(library) {
        match nvml::load(&path) {
            Ok(driver) => return Ok(Arc::new(driver)),
            Err((Code(12), reason)) if missing.is_empty() => missing = reason,
            Err((Code(12), _)) => {}
            Err((code, reason)) => {
                let kind = match code {
                    Code::DRIVER_NOT_LOADED => FailureKind::Absent,
                    Code::NO_PERMISSION => FailureKind::Permission,
                    _ => FailureKind::Read,
                };
                let path = path.display();
                return Err(Failure::new(
                    kind,
                    format!("{path}: {reason} ({})", code.name()),
                ));
            }
        }
    }
    let help = "install the NVIDIA driver, set gpu.library to the file, or set gpu.enabled = false";
    Err(Failure::new(
        FailureKind::Absent,
        format!("cannot load NVML: {missing}; help: {help}"),
    ))
}
