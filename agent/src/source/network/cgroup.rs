//! The cgroup whose sockets the `sock_ops` program sees.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// A cgroup that programs can attach to.
#[derive(Debug)]
pub struct Cgroup {
    /// Its directory, open.
    pub directory: File,
    /// Its path.
    pub path: PathBuf,
    /// Whether it contains every socket of the machine.
    pub is_root: bool,
}

/// Opens the configured cgroup, or else the mounted one.
///
/// # Errors
/// If there is none, or the configured path is not a cgroup; the text says how to fix it.
pub fn open(configured: Option<&Path>) -> Result<Cgroup, String> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => mount()
            .ok_or("no cgroup2 is mounted; help: mount one, or name it with network.cgroup")?,
    };
    let directory = File::open(&path).map_err(|error| {
        format!(
            "cannot open {}: {error}; help: correct network.cgroup",
            path.display()
        )
    })?;
    if !path.join("cgroup.procs").exists() || !path.join("cgroup.controllers").exists() {
        return Err(format!(
            "{} is no cgroup2; help: correct network.cgroup",
            path.display()
        ));
    }
    // Only the machine's root cgroup has no type; the root of a cgroup namespace has one.
    let is_root = !path.join("cgroup.type").exists();
    Ok(Cgroup {
        directory,
        path,
        is_root,
    })
}

/// Where this process's cgroup2 is mounted.
pub(crate) fn mount() -> Option<PathBuf> {
    mounted(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// The first cgroup2 in `mountinfo` (proc(5)); a space in its path is written `\\040`.
fn mounted(table: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next()? != "cgroup2" {
            return None;
        }
        Some(PathBuf::from(
            mount.split(' ').nth(4)?.replace("\\040", " "),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mounted_one() {
        let table = "31 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                     41 31 0:38 / /sys/fs/cgroup/all\\040of\\040it rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            mounted(table),
            Some(PathBuf::from("/sys/fs/cgroup/all of it"))
        );
        assert_eq!(mounted("31 24 0:27 / /cgroup2 rw - tmpfs cgroup2 rw"), None);
    }

    #[test]
    fn refuses_what_is_no_cgroup() {
        let here = std::env::temp_dir();
        let said = open(Some(&here)).unwrap_err();
        assert!(said.contains("is no cgroup2"), "{said}");
        let said = open(Some(&here.join("partymeter-no-such-directory"))).unwrap_err();
        assert!(said.contains("cannot open"), "{said}");
    }
}
