//! Finds and fetches Debian's cloud kernels, of any release.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::version::Version;
use crate::{
    project::{Project, say},
    setup::Suites,
};

/// The releases to search. One that the mirror no longer has is skipped.
const SUITES: [&str; 6] = [
    "bullseye",
    "bookworm",
    "bookworm-backports",
    "trixie",
    "trixie-backports",
    "sid",
];
/// Small kernels, with BTF and everything else that the agent needs built in.
const FLAVOUR: &str = "-cloud-amd64";
/// The packages that hold a kernel. For the newest versions, the first only depends on the second.
const PACKAGES: [&str; 2] = ["linux-image-", "linux-binary-"];

/// A bootable kernel.
pub(super) struct Kernel {
    /// Its name in `uname -r`, without the flavour.
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) image: PathBuf,
}

/// The source of kernels: a directory, filled from the mirror.
pub(super) struct Debian<'p> {
    project: &'p Project,
    directory: &'p Path,
    packages: Option<Vec<String>>,
}

impl<'p> Debian<'p> {
    pub(super) fn new(project: &'p Project, directory: &'p Path) -> Self {
        Self {
            project,
            directory,
            packages: None,
        }
    }

    /// The newest kernel of a series: from the directory, else from the mirror.
    pub(super) fn kernel(&mut self, series: &Version) -> anyhow::Result<Kernel> {
        if let Some(kernel) = self.newest_here(series)? {
            return Ok(kernel);
        }
        let package = self.newest_package(series)?;
        self.fetch(&package)?;
        self.newest_here(series)?
            .with_context(|| format!("the package {package} has no kernel of version {series}"))
    }

    fn newest_here(&self, series: &Version) -> anyhow::Result<Option<Kernel>> {
        let files = self.project.sh.read_dir(self.directory)?;
        let kernels = files.into_iter().filter_map(|image| {
            let name = image.file_name()?.to_str()?;
            let name = name.strip_prefix("vmlinuz-")?.strip_suffix(FLAVOUR)?;
            Some(Kernel {
                name: name.to_owned(),
                version: Version::of(name),
                image: image.clone(),
            })
        });
        Ok(kernels
            .filter(|kernel| kernel.version.is_of(series))
            .max_by(|a, b| a.version.cmp(&b.version)))
    }

    fn newest_package(&mut self, series: &Version) -> anyhow::Result<String> {
        if self.packages.is_none() {
            self.packages = Some(self.list()?);
        }
        let packages = self.packages.iter().flatten();
        packages
            .filter_map(|package| Some((version_of(package)?, package)))
            .filter(|(version, _)| version.is_of(series))
            // Of two packages with one version, the later one in `PACKAGES` holds the kernel.
            .max_by_key(|(version, package)| {
                let place = PACKAGES
                    .iter()
                    .position(|prefix| package.starts_with(prefix));
                (version.clone(), place)
            })
            .map(|(_, package)| package.clone())
            .with_context(|| {
                let suites = SUITES.join(", ");
                format!("Debian has no cloud kernel {series} in {suites}; ask for another version")
            })
    }

    /// The names of all kernel packages, from updated lists.
    fn list(&self) -> anyhow::Result<Vec<String>> {
        say(format_args!(
            "searching for kernels in {}",
            SUITES.join(", ")
        ));
        let suites = Suites::new(self.project, self.directory);
        let mirror = suites.update(&SUITES, "main")?;
        let mut packages = suites.search(&format!("^linux-(image|binary)-[0-9].*{FLAVOUR}$"))?;
        packages.retain(|name| version_of(name).is_some());
        if packages.is_empty() {
            bail!("apt-get found no kernel at {mirror}");
        }
        Ok(packages)
    }

    /// Extracts the kernel of a package into the directory.
    fn fetch(&self, package: &str) -> anyhow::Result<()> {
        let sh = &self.project.sh;
        let place = sh.create_temp_dir()?;
        Suites::new(self.project, self.directory).unpack(package, place.path())?;
        let release = PACKAGES
            .iter()
            .find_map(|prefix| package.strip_prefix(prefix))
            .unwrap_or(package);
        let places = [
            format!("boot/vmlinuz-{release}"),
            format!("usr/lib/modules/{release}/vmlinuz"),
        ];
        let image = places
            .iter()
            .map(|inside| place.path().join(inside))
            .find(|image| image.exists())
            .with_context(|| {
                format!(
                    "the package {package} has no kernel at {}",
                    places.join(" or ")
                )
            })?;
        sh.copy_file(image, self.directory.join(format!("vmlinuz-{release}")))?;
        Ok(())
    }
}

/// The version of a package that holds a kernel.
fn version_of(package: &str) -> Option<Version> {
    let release = PACKAGES
        .iter()
        .find_map(|prefix| package.strip_prefix(prefix))?
        .strip_suffix(FLAVOUR)?;
    // `linux-image-6.1-cloud-amd64` only depends on another package; `…-unsigned-…` does not begin with a number.
    let is_release = release.starts_with(|first: char| first.is_ascii_digit())
        && release.bytes().filter(|byte| *byte == b'.').count() >= 2;
    is_release.then(|| Version::of(release))
}

#[cfg(test)]
mod tests {
    use super::{Version, version_of};

    #[test]
    fn packages_that_hold_a_kernel_are_recognized_by_name() {
        for (package, version) in [
            (
                "linux-image-6.1.0-50-cloud-amd64",
                Some(Version::from([6, 1, 0, 50])),
            ),
            (
                "linux-binary-7.3.4+deb13-cloud-amd64",
                Some(Version::from([7, 3, 4, 13])),
            ),
            ("linux-image-6.1-cloud-amd64", None),
            ("linux-image-cloud-amd64", None),
            ("linux-binary-unsigned-7.3.4+deb13-cloud-amd64", None),
            ("linux-image-6.1.0-50-cloud-amd64-dbg", None),
        ] {
            assert_eq!(version_of(package), version, "{package}");
        }
    }
}
