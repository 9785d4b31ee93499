//! Restores what was detached or unpinned, in every round.

use std::{
    mem::offset_of,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use agent_ebpf::{Control, events, map, program};

use super::{
    links::{FileId, file_at},
    object::map_fd,
    pinned::restore,
    programs::Programs,
};
use crate::source::network::{
    error::{BpfError, kernel_error},
    gaps::Outcome,
};

impl Programs {
    /// Reattaches detached programs. Returns each with its outcome.
    ///
    /// # Errors
    /// If no program reports connections any more.
    pub(crate) fn reattach(&mut self) -> Result<Vec<(&'static str, Outcome)>, BpfError> {
        let mut found = Vec::new();
        for program in self.links.absent() {
            let attached = self.links.attach(&self.ebpf, program);
            let events = program == program::SOCKET_EVENTS;
            if events {
                self.update_events(attached.is_ok())?;
            }
            let outcome = match attached {
                Ok(()) => Outcome::Attached,
                Err(error) => {
                    let why = kernel_error("attach it again", &error).to_string();
                    // `Replaced` also where the tracepoint has counted all along.
                    if events {
                        Outcome::Replaced(why)
                    } else {
                        Outcome::Detached(why)
                    }
                }
            };
            found.push((program, outcome));
        }
        Ok(found)
    }

    /// If `socket_events` no longer sees every socket, the tracepoint takes over, as on a machine without a cgroup. It
    /// stays when `socket_events` is back, because adoption need not find every connection that was claimed meanwhile.
    fn update_events(&mut self, attached: bool) -> Result<(), BpfError> {
        let see_all = attached && self.events_at_root;
        if see_all == self.events_see_all {
            return Ok(());
        }
        if !see_all {
            self.tcp_state.make_permanent();
            self.tcp_state.attach(&self.ebpf, &mut self.links)?;
        }
        let word = if see_all {
            events::ALL
        } else {
            events::NOT_ALL
        };
        self.control.store(offset_of!(Control, events), word);
        self.events_see_all = see_all;
        Ok(())
    }

    /// Whether every pin is unchanged.
    pub(crate) fn is_as_pinned(&self) -> bool {
        let Some(pinned) = &self.pinned else {
            return true;
        };
        let same = |path: &Path, id: &Option<FileId>| id.is_some() && file_at(path) == *id;
        let mut maps = pinned.maps.iter();
        let mut links = self.links.active.iter();
        maps.all(|(name, id)| same(&pinned.directory.map(name), id))
            && links.all(|it| {
                let path = self.links.path(it.program);
                path.is_none_or(|path| same(&path, &it.pin))
            })
            && pinned.metadata.iter().all(|(path, _, id)| same(path, id))
    }

    /// Restores missing pins and returns how many. The order lets the next agent resume wherever this stops.
    pub(crate) fn repin(&mut self) -> Result<usize, String> {
        let Some(pinned) = &mut self.pinned else {
            return Ok(0);
        };
        let mut count = 0;
        for (name, id) in &mut pinned.maps {
            let object = match *name {
                map::UNEXPECTED_PEERS => self.unexpected_peers.as_fd(),
                map::RECORDS => self.records.as_fd(),
                name => map_fd(&self.ebpf, name).map_err(|error| error.to_string())?,
            };
            count += usize::from(restore(object, &pinned.directory.map(name), id)?);
        }
        let paths: Vec<Option<PathBuf>> = self
            .links
            .active
            .iter()
            .map(|it| self.links.path(it.program))
            .collect();
        for (link, path) in self.links.active.iter_mut().zip(paths) {
            if let Some(path) = path {
                count += usize::from(restore(link.link.as_fd(), &path, &mut link.pin)?);
            }
        }
        for (path, object, id) in &mut pinned.metadata {
            count += usize::from(restore(object.as_fd(), path, id)?);
        }
        Ok(count)
    }
}
