//! How a command becomes root: already, by sudo, or not at all. Only what needs root runs as root. cargo does not, so that
//! nothing in the target directory belongs to root.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use xshell::{Cmd, Shell};

use crate::project::Project;

/// How commands become root on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// This process is root.
    Already,
    /// By `sudo`.
    Sudo,
    /// Not at all.
    None,
}

impl Root {
    pub(crate) fn find(project: &Project) -> Self {
        // The effective user owns the entry of this process.
        if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            Self::Already
        } else if project.has("sudo") {
            Self::Sudo
        } else {
            Self::None
        }
    }

    /// A command that runs `program` as root where that is possible.
    pub(crate) fn command(self, sh: &Shell, program: impl AsRef<Path>) -> Cmd<'_> {
        match self {
            Self::Already | Self::None => sh.cmd(program),
            Self::Sudo => sh.cmd("sudo").arg(program.as_ref()),
        }
    }
}
