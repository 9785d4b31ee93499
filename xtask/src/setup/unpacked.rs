//! Packages from other suites and sections of Debian that tests use. They are unpacked in the target directory, not installed.

use std::path::PathBuf;

use super::{apt::Apt, suites::Suites};
use crate::project::{Project, say};

/// A package, and where it is unpacked.
struct Package {
    what: &'static str,
    name: &'static str,
    suite: &'static str,
    section: &'static str,
    home: fn(&Project) -> PathBuf,
}

const PACKAGES: [Package; 2] = [
    Package {
        what: "NVIDIA's own NVML",
        name: "libnvidia-ml1",
        suite: "bookworm",
        section: "non-free",
        home: Project::nvml,
    },
    Package {
        what: "VictoriaMetrics",
        name: "victoria-metrics",
        suite: "sid",
        section: "main",
        home: Project::victoria_metrics,
    },
];

/// Unpacks what is missing. If a package cannot be fetched, the tests that need it are ignored.
pub(super) fn fetch(apt: &Apt<'_>) {
    for package in PACKAGES {
        let home = (package.home)(apt.project);
        if home.join("usr").exists() || !apt.exists() {
            continue;
        }
        let suites = Suites::new(apt.project, &home);
        let outcome = suites
            .update(&[package.suite], package.section)
            .and_then(|_| suites.unpack(package.name, &home));
        if let Err(error) = outcome {
            let what = package.what;
            say(format_args!(
                "{what} cannot be fetched; the tests that need it are ignored: {error:#}"
            ));
        }
    }
}
