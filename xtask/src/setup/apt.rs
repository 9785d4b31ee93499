//! Debian packages: which are installed, which are available, and their installation.

use std::{cell::Cell, path::Path};

use anyhow::bail;
use xshell::cmd;

use super::suites::Suites;
use crate::{
    privilege::Root,
    project::{Project, say},
};

/// apt-get on this machine, if there is one. Package lists are updated once, and only if needed.
pub(super) struct Apt<'p> {
    pub(super) project: &'p Project,
    updated: Cell<bool>,
}

impl<'p> Apt<'p> {
    pub(super) fn new(project: &'p Project) -> Self {
        Self {
            project,
            updated: Cell::new(false),
        }
    }

    /// Installs those of `packages` that are missing. Never removes a package.
    pub(super) fn install(&self, packages: &[&str]) -> anyhow::Result<()> {
        let missing: Vec<&str> = packages
            .iter()
            .copied()
            .filter(|package| !self.installed(package))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.join(" ");
        if !self.exists() {
            bail!(
                "apt-get is not installed; install what Debian calls {names} with this system's package manager"
            );
        }
        let root = Root::find(self.project);
        if root == Root::None {
            bail!("not root, and sudo is not installed; as root, run `apt-get install {names}`");
        }
        self.update();
        let outcome = root
            .command(&self.project.sh, "env")
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install"])
            .args(["-qq", "--yes", "--no-install-recommends", "--no-remove"])
            .args(&missing)
            .run();
        if outcome.is_err() {
            bail!("apt-get could not install {names}, see above");
        }
        Ok(())
    }

    /// Installs packages from this release's backports, which need not be in apt's configuration.
    pub(super) fn install_backports(&self, packages: &[&str]) -> anyhow::Result<()> {
        let sh = &self.project.sh;
        let about = sh.read_file("/etc/os-release").unwrap_or_default();
        let release = about
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let Some(release) = release else {
            bail!(
                "/etc/os-release names no release of Debian whose backports could have {}",
                packages.join(" ")
            );
        };
        let backports = format!("{release}-backports");
        let root = Root::find(self.project);
        if root == Root::None {
            bail!("not root, and sudo is not installed");
        }
        let directory = self.project.target.join("backports");
        let suites = Suites::new(self.project, &directory);
        suites.update(&[release, &backports], "main")?;
        suites.install(root, &backports, packages)
    }

    /// Extracts a package's files into `directory` without installing it: no service starts, and root is not needed.
    pub(super) fn unpack(&self, package: &str, directory: &Path) -> anyhow::Result<()> {
        if !self.exists() {
            bail!("apt-get is not installed; install {package} with this system's package manager");
        }
        self.update();
        let sh = &self.project.sh;
        let downloads = sh.create_temp_dir()?;
        let _here = sh.push_dir(downloads.path());
        cmd!(
            sh,
            "apt-get download -qq -o APT::Sandbox::User=root {package}"
        )
        .run()?;
        for file in sh.read_dir(downloads.path())? {
            cmd!(sh, "dpkg --extract {file} {directory}").run()?;
        }
        Ok(())
    }

    /// Major and minor version of an available package.
    pub(super) fn candidate(&self, package: &str) -> Option<(u32, u32)> {
        if !self.exists() {
            return None;
        }
        self.update();
        let sh = &self.project.sh;
        let about = cmd!(sh, "apt-cache show --no-all-versions {package}")
            .quiet()
            .ignore_stderr()
            .read()
            .ok()?;
        version(&about)
    }

    /// The package that installed a file.
    pub(super) fn owner(&self, file: &str) -> Option<String> {
        let sh = &self.project.sh;
        let answer = cmd!(sh, "dpkg-query --search {file}")
            .quiet()
            .ignore_stderr()
            .read()
            .ok()?;
        let (package, _) = answer.split_once(':')?;
        Some(package.to_owned())
    }

    pub(super) fn exists(&self) -> bool {
        self.project.has("apt-get")
    }

    fn installed(&self, package: &str) -> bool {
        let sh = &self.project.sh;
        let format = "-f=${db:Status-Status}";
        cmd!(sh, "dpkg-query -W {format} {package}")
            .quiet()
            .ignore_stderr()
            .read()
            .is_ok_and(|status| status == "installed")
    }

    /// A failure is not an error: the present lists may suffice, and if not, the installation fails with a reason.
    fn update(&self) {
        let root = Root::find(self.project);
        if self.updated.replace(true) || root == Root::None {
            return;
        }
        let outcome = root
            .command(&self.project.sh, "apt-get")
            .args(["update", "-qq"])
            .run();
        if outcome.is_err() {
            say("The package lists could not be updated; continuing with the present ones.");
        }
    }
}

/// (1, 96) of a package's description with `Version: 1.96.0+dfsg1-1`; an epoch before a colon does not count.
fn version(about: &str) -> Option<(u32, u32)> {
    let version = about
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))?;
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    crate::bpf_toolchain::major_minor(version)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_read_with_and_without_an_epoch() {
        let about = |version| format!("Package: x\nVersion: {version}\nInstalled-Size: 3\n");
        assert_eq!(version(&about("1.96.0+dfsg1-1~deb12u2")), Some((1, 96)));
        assert_eq!(version(&about("1:22.1.8-1~deb12u1")), Some((22, 1)));
        assert_eq!(version(""), None);
    }
}
