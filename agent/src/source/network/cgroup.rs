//! Where cgroup2 is mounted.

use std::path::{Path, PathBuf};

use crate::{sample::FailureKind, source::Failure};

const MOUNTS: &str = "/proc/self/mountinfo";

/// The configured directory, or the first mount of cgroup2.
///
/// # Errors
/// If none is mounted, as where only cgroup v1 is used.
pub(super) fn root(configured: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = configured {
        // Every directory of cgroup2 has this file, and no other file system does.
        return match path.join("cgroup.controllers").metadata() {
            Ok(_) => Ok(path.to_owned()),
            Err(error) => {
                let path = path.display();
                let mend = "set network.cgroup to the root of cgroup2";
                let reason = format!("{path} is no cgroup2 directory ({error}): {mend}");
                Err(Failure::new(FailureKind::NotFound, reason))
            }
        };
    }
    let mounts = std::fs::read_to_string(MOUNTS).map_err(|error| {
        Failure::new(FailureKind::Read, format!("cannot read {MOUNTS}: {error}"))
    })?;
    find(&mounts).ok_or_else(|| {
        Failure::new(
            FailureKind::NotFound,
            "cgroup2 is not mounted, only cgroup v1: mount it (mount -t cgroup2 none DIR) and set \
             network.cgroup = \"DIR\"",
        )
    })
}

/// What to tell the user of a cgroup that is not the root, as in a container with a cgroup namespace of its own.
pub(super) fn only_part(cgroup: &Path) -> Option<String> {
    // The real root has no type (Documentation/admin-guide/cgroup-v2.rst).
    cgroup.join("cgroup.type").exists().then(|| {
        format!(
            "{} is not the root of cgroup2: only connections of processes under it are claimed",
            cgroup.display()
        )
    })
}

/// The mount point of the first cgroup2 in the form of `proc_pid_mountinfo(5)`.
fn find(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        (filesystem.split(' ').next() == Some("cgroup2"))
            .then(|| PathBuf::from(unescape(mount.split(' ').nth(4).unwrap_or_default())))
    })
}

/// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|octal| u8::from_str_radix(octal, 8).ok())
        {
            Some(byte) => {
                path.push(char::from(byte));
                path.push_str(&part[3..]);
            }
            None => path.push_str(part),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 24 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
31 24 0:27 / /sys/fs/cgroup/my\\040unified rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw
";

    #[test]
    fn finds_the_second_generation_among_the_first() {
        assert_eq!(
            find(HYBRID),
            Some(PathBuf::from("/sys/fs/cgroup/my unified"))
        );
        assert_eq!(
            find(
                HYBRID
                    .lines()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join("\n")
                    .as_str()
            ),
            None
        );
    }
}
