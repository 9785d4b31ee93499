//! NVIDIA's own NVML, from Debian's non-free section, for a test on machines without its driver. It is unpacked in the
//! target directory and nowhere installed.

use super::{apt::Apt, suites::Suites};
use crate::project::say;

/// The release to take it from.
const SUITE: &str = "bookworm";

/// Whoever cannot have it has one test less, which says so.
pub(super) fn look(apt: &Apt<'_>) {
    let (project, home) = (apt.project, apt.project.nvml());
    if home.join("usr").exists() || !apt.exists() {
        return;
    }
    let suites = Suites::new(project, &home);
    let outcome = suites
        .update(&[SUITE], "non-free")
        .and_then(|_| suites.unpack("libnvidia-ml1", &home));
    if let Err(error) = outcome {
        say(format_args!(
            "NVIDIA's own NVML cannot be had here, and is not tested with: {error:#}"
        ));
    }
}
