//! Packages from other releases and sections of Debian than this machine's. apt finds and fetches them from its own mirror,
//! with separate lists and a separate cache. apt's configuration does not change.

use std::path::Path;

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{
    privilege::Root,
    project::{Project, say},
};

/// Debian's keys, from the package debian-archive-keyring.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The directory with the lists of some suites.
pub(crate) struct Suites<'p> {
    project: &'p Project,
    directory: &'p Path,
}

impl<'p> Suites<'p> {
    pub(crate) const fn new(project: &'p Project, directory: &'p Path) -> Self {
        Self { project, directory }
    }

    /// Updates the lists and returns the mirror. A suite that the mirror no longer has is skipped.
    pub(crate) fn update(&self, suites: &[&str], section: &str) -> anyhow::Result<String> {
        if !self.project.has("apt-get") {
            bail!(
                "apt-get, which fetches Debian's packages, is not installed; this works on Debian and its derivatives only"
            );
        }
        let sh = &self.project.sh;
        let mirror = self.mirror()?;
        let keys = if Path::new(KEYS).exists() {
            format!("[signed-by={KEYS}] ")
        } else {
            String::new()
        };
        let sources: Vec<String> = suites
            .iter()
            .map(|suite| format!("deb {keys}{mirror} {suite} {section}\n"))
            .collect();
        sh.create_dir(self.directory.join("lists/partial"))?;
        sh.write_file(self.directory.join("sources.list"), sources.concat())?;
        // It fails as a whole if one suite does not exist, although the others are updated.
        let update = cmd!(sh, "apt-get")
            .args(self.options())
            .args(["update", "-qq"]);
        update.quiet().ignore_status().ignore_stderr().output()?;
        Ok(mirror)
    }

    /// The names of all packages that match a pattern.
    pub(crate) fn search(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let (sh, options) = (&self.project.sh, self.options());
        let names = cmd!(sh, "apt-cache {options...} search --names-only {pattern}");
        let names = names.quiet().read()?;
        let names = names.lines().filter_map(|line| line.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Extracts a package's files into `into`.
    pub(crate) fn unpack(&self, package: &str, into: &Path) -> anyhow::Result<()> {
        let sh = &self.project.sh;
        let place = sh.create_temp_dir()?;
        let _here = sh.push_dir(place.path());
        let options = self.options();
        say(format_args!("$ apt-get download {package}"));
        cmd!(sh, "apt-get {options...} download -qq {package}")
            .quiet()
            .run()?;
        for file in sh.read_dir(place.path())? {
            cmd!(sh, "dpkg --extract {file} {into}").quiet().run()?;
        }
        Ok(())
    }

    /// Installs packages and their dependencies, from one suite where possible. Never removes a package.
    pub(crate) fn install(&self, root: Root, suite: &str, packages: &[&str]) -> anyhow::Result<()> {
        let sh = &self.project.sh;
        sh.create_dir(self.directory.join("cache/archives/partial"))?;
        let outcome = root
            .command(sh, "env")
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .args(self.options())
            .args(["install", "-t", suite, "-qq", "--yes"])
            .args(["--no-install-recommends", "--no-remove"])
            .args(packages)
            .run();
        if outcome.is_err() {
            bail!(
                "apt-get could not install {} from {suite} either, see above",
                packages.join(" ")
            );
        }
        Ok(())
    }

    /// The mirror of Debian in apt's configuration.
    fn mirror(&self) -> anyhow::Result<String> {
        let sh = &self.project.sh;
        let format = "$(LABEL)|$(REPO_URI)";
        let targets = cmd!(sh, "apt-get indextargets --format {format}")
            .quiet()
            .read()?;
        targets
            .lines()
            .find_map(|line| line.strip_prefix("Debian|"))
            .map(str::to_owned)
            .context("apt knows no mirror of Debian: on Debian, run `apt-get update` first")
    }

    fn options(&self) -> Vec<String> {
        let place = |name| self.directory.join(name).display().to_string();
        [
            format!("Dir::Etc::sourcelist={}", place("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", place("lists")),
            format!("Dir::Cache={}", place("cache")),
            // Only the lists that are needed.
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // apt's unprivileged user may not write to this directory.
            "APT::Sandbox::User=root".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect()
    }
}
