//! What tests use of other suites and sections of Debian. It is unpacked in the target directory and nowhere installed.

use std::path::PathBuf;

use super::{apt::Apt, suites::Suites};
use crate::project::{Project, say};

/// A package, and where it is put.
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
        what: "VictoriaMetrics, which takes OTLP and answers PromQL,",
        name: "victoria-metrics",
        suite: "sid",
        section: "main",
        home: Project::victoria_metrics,
    },
];

/// Where one cannot be had, the test that needs it is ignored.
pub(super) fn look(apt: &Apt<'_>) {
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
                "{what} cannot be had here, and is not tested with: {error:#}"
            ));
        }
    }
}
