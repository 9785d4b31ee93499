//! How a command becomes root: it is already, by sudo, or not at all. Only what must be root is: cargo never runs so
//! that nothing in the target directory belongs to root.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use xshell::{Cmd, Shell};

use crate::project::Project;

/// What stands before a command that needs root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// Nothing: this process is root.
    Already,
    /// `sudo`.
    Sudo,
    /// There is no way.
    None,
}

impl Root {
    pub(crate) fn find(project: &Project) -> Self {
        // The owner of this process's own entry is the effective user.
        if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            Self::Already
        } else if project.has("sudo") {
            Self::Sudo
        } else {
            Self::None
        }
    }

    /// `program` as root, as far as that can be had.
    pub(crate) fn command(self, sh: &Shell, program: impl AsRef<Path>) -> Cmd<'_> {
        match self {
            Self::Already | Self::None => sh.cmd(program),
            Self::Sudo => sh.cmd("sudo").arg(program.as_ref()),
        }
    }
}
