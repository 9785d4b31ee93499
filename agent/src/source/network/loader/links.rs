//! The links of one load of the programs: held as long as the agent runs, beside their pins. Whoever removes a pin
//! detaches nothing, and whoever detaches one is noticed in the next round.

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

use super::{
    error::{Error, kernel_error},
    pinned::Folder,
};
use crate::{
    privilege,
    source::network::{cgroup::Cgroup, sys::link},
};

/// A file, whatever its name.
pub(super) type FileId = (u64, u64);

/// The file at a path; `None` where there is none, or nobody may look.
pub(super) fn file_at(path: &Path) -> Option<FileId> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// What attaches one program.
pub(super) struct Held {
    pub(super) program: &'static str,
    pub(super) link: OwnedFd,
    /// The program's number in the kernel.
    number: u32,
    /// Where it is pinned.
    pub(super) pin: Option<FileId>,
}

impl Held {
    /// Whether it attaches what it did. What cannot be asked has not changed.
    fn is_attached(&self) -> bool {
        link::state(self.link.as_fd()).map_or(true, |state| {
            state.program == self.number && (hook(self.program).is_none() || state.cgroup != 0)
        })
    }
}

/// The hook of a cgroup; `None` of a tracing program, which knows its own.
fn hook(program: &str) -> Option<bpf_attach_type> {
    match program {
        program::SOCKET_EVENTS => Some(bpf_attach_type::BPF_CGROUP_SOCK_OPS),
        program::DATAGRAMS_IN => Some(bpf_attach_type::BPF_CGROUP_INET_INGRESS),
        program::DATAGRAMS_OUT => Some(bpf_attach_type::BPF_CGROUP_INET_EGRESS),
        _ => None,
    }
}

/// Every link of one load.
pub(super) struct Links {
    folder: Option<Folder>,
    generation: u32,
    /// What the programs of a cgroup are attached to.
    cgroup: Option<PathBuf>,
    pub(super) held: Vec<Held>,
    /// Programs that should be attached and are not: somebody has detached them.
    absent: Vec<&'static str>,
}

impl Links {
    pub(super) fn new(folder: Option<Folder>, generation: u32, cgroup: Option<&Cgroup>) -> Self {
        Self {
            folder,
            generation,
            cgroup: cgroup.map(|it| it.path.clone()),
            held: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// Attaches a program that is loaded, and pins the link where links are; if that fails, it is held all the same.
    pub(super) fn attach(&mut self, ebpf: &Ebpf, program: &'static str) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let fd = ebpf.program(program).map(Program::fd).ok_or_else(missing)?;
        let fd = fd.map_err(io::Error::other)?;
        let link = match hook(program) {
            None => link::attach_tracing(fd.as_fd())?,
            Some(hook) => {
                // By its path: a cgroup that was removed may be there again.
                let cgroup = File::open(self.cgroup.as_ref().ok_or_else(missing)?)?;
                privilege::with_net_admin(|| link::attach_cgroup(fd.as_fd(), cgroup.as_fd(), hook))?
            }
        };
        let number = link::state(link.as_fd())?.program;
        let path = self.path(program);
        let pinned = path.filter(|path| link::pin(link.as_fd(), path).is_ok());
        self.held.push(Held {
            program,
            link,
            number,
            pin: pinned.and_then(|path| file_at(&path)),
        });
        self.absent.retain(|it| *it != program);
        Ok(())
    }

    /// Detaches a program, if it is attached.
    pub(super) fn remove(&mut self, program: &str) {
        self.absent.retain(|it| *it != program);
        self.held.retain(|it| it.program != program);
        if let Some(path) = self.path(program) {
            drop(fs::remove_file(path));
        }
    }

    /// The programs that should be attached and are not. Of those that somebody has detached, nothing is left.
    pub(super) fn absent(&mut self) -> Vec<&'static str> {
        let lost: Vec<&'static str> = self
            .held
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

    /// Detaches what other loads have left attached.
    pub(super) fn remove_others(&self) -> Result<(), Error> {
        let removed = self
            .folder
            .as_ref()
            .map(|it| it.remove_links(self.generation));
        let removed = removed.transpose().map(drop);
        removed.map_err(|error| kernel_error("remove pinned links", &error))
    }

    /// Where a program's link is pinned.
    pub(super) fn path(&self, program: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.link(self.generation, program))
    }
}
