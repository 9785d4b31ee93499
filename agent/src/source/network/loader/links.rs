//! The links of one load, held while the agent runs, beside their pins. Removing a pin detaches nothing, and the next
//! round notices a detached link.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use agent_ebpf::program;
use aya::{Ebpf, programs::Program};
use aya_obj::generated::bpf_attach_type;

use crate::{
    privilege,
    source::network::{
        cgroup::Cgroup,
        error::{BpfError, kernel_error},
        pin::PinDirectory,
        sys::link,
    },
};

/// A file's device and inode.
pub(super) type FileId = (u64, u64);

/// The file at a path; `None` if there is none or it cannot be read.
pub(super) fn file_at(path: &Path) -> Option<FileId> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// The link that keeps a program attached.
pub(super) struct ActiveLink {
    pub(super) program: &'static str,
    pub(super) link: OwnedFd,
    /// The kernel's number of the program.
    number: u32,
    /// The file of its pin.
    pub(super) pin: Option<FileId>,
}

impl ActiveLink {
    /// Whether the link still attaches the program. An unreadable link counts as unchanged.
    fn is_attached(&self) -> bool {
        link::state(self.link.as_fd()).map_or(true, |state| {
            state.program == self.number && (hook(self.program).is_none() || state.cgroup != 0)
        })
    }
}

/// The program's cgroup hook; `None` for a tracing program, which knows its own target.
fn hook(program: &str) -> Option<bpf_attach_type> {
    match program {
        program::SOCKET_EVENTS => Some(bpf_attach_type::BPF_CGROUP_SOCK_OPS),
        program::DATAGRAMS_IN => Some(bpf_attach_type::BPF_CGROUP_INET_INGRESS),
        program::DATAGRAMS_OUT => Some(bpf_attach_type::BPF_CGROUP_INET_EGRESS),
        _ => None,
    }
}

pub(super) struct Links {
    directory: Option<PinDirectory>,
    generation: u32,
    /// The cgroup that programs attach to.
    cgroup: Option<PathBuf>,
    pub(super) active: Vec<ActiveLink>,
    /// Programs that were detached and are not attached again.
    absent: Vec<&'static str>,
}

impl Links {
    pub(super) fn new(
        directory: Option<PinDirectory>,
        generation: u32,
        cgroup: Option<&Cgroup>,
    ) -> Self {
        Self {
            directory,
            generation,
            cgroup: cgroup.map(|it| it.path.clone()),
            active: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// Attaches a loaded program and pins its link if links are pinned. A failed pin is not an error.
    pub(super) fn attach(&mut self, ebpf: &Ebpf, program: &'static str) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let fd = ebpf.program(program).map(Program::fd).ok_or_else(missing)?;
        let fd = fd.map_err(io::Error::other)?;
        let link = match hook(program) {
            None => link::attach_tracing(fd.as_fd())?,
            Some(hook) => {
                // By path: a removed cgroup may have been created again.
                let cgroup = File::open(self.cgroup.as_ref().ok_or_else(missing)?)?;
                privilege::with_net_admin(|| link::attach_cgroup(fd.as_fd(), cgroup.as_fd(), hook))?
            }
        };
        let number = link::state(link.as_fd())?.program;
        let path = self.path(program);
        let pinned = path.filter(|path| link::pin(link.as_fd(), path).is_ok());
        self.active.push(ActiveLink {
            program,
            link,
            number,
            pin: pinned.and_then(|path| file_at(&path)),
        });
        self.absent.retain(|it| *it != program);
        Ok(())
    }

    /// Detaches a program if it is attached.
    pub(super) fn remove(&mut self, program: &str) {
        self.absent.retain(|it| *it != program);
        self.active.retain(|it| it.program != program);
        if let Some(path) = self.path(program) {
            drop(fs::remove_file(path));
        }
    }

    /// The programs that should be attached and are not. Forgets the links that were detached.
    pub(super) fn absent(&mut self) -> Vec<&'static str> {
        let lost: Vec<&'static str> = self
            .active
            .iter()
            .filter(|it| !it.is_attached())
            .map(|it| it.program)
            .collect();
        for program in lost {
            self.remove(program);
            self.absent.push(program);
        }
        self.absent.clone()
    }

    /// Detaches the programs of other loads.
    pub(super) fn remove_others(&self) -> Result<(), BpfError> {
        let removed = self
            .directory
            .as_ref()
            .map(|it| it.remove_links(self.generation));
        let removed = removed.transpose().map(drop);
        removed.map_err(|error| kernel_error("remove pinned links", &error))
    }

    /// The pin of a program's link.
    pub(super) fn path(&self, program: &str) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        Some(directory.link(self.generation, program))
    }
}
