//! Keeps what was attached and pinned as it was: looked at in every round, and put back.

use std::{
    collections::BTreeMap,
    io,
    mem::offset_of,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use agent_ebpf::{Control, events, map, program};

use super::{
    Programs,
    error::{Error, kernel_error},
    links::{FileId, file_at},
    object::map_fd,
    pinned::Folder,
};
use crate::source::network::{gaps::Outcome, sys::link};

/// What is pinned beside the links, and how to pin it again.
pub(super) struct Pinned {
    folder: Folder,
    /// Every map by its file, with what that file was.
    maps: BTreeMap<&'static str, Option<FileId>>,
    /// `names` and `state`, in this order: without the last the rest is of no use.
    about: [(PathBuf, OwnedFd, Option<FileId>); 2],
}

impl Pinned {
    /// Of everything that was just pinned.
    pub(super) fn new(folder: &Folder, maps: Vec<&'static str>) -> io::Result<Self> {
        let about = |path: PathBuf| link::open(&path).map(|fd| (path.clone(), fd, file_at(&path)));
        let [names, state] = folder.about();
        let maps = maps.into_iter();
        Ok(Self {
            maps: maps
                .map(|name| (name, file_at(&folder.map(name))))
                .collect(),
            about: [about(names)?, about(state)?],
            folder: folder.clone(),
        })
    }
}

/// Pins an object where it was, if it is not there. Returns whether it was put back.
fn put_back(object: BorrowedFd<'_>, path: &Path, id: &mut Option<FileId>) -> Result<bool, String> {
    let shown = path.display();
    match file_at(path) {
        Some(there) if Some(there) == *id => return Ok(false),
        Some(_) => return Err(format!("{shown} is somebody else's; remove it")),
        None => {}
    }
    link::pin(object, path).map_err(|error| format!("cannot pin {shown}: {error}"))?;
    *id = file_at(path);
    Ok(true)
}

impl Programs {
    /// Attaches again what somebody has detached: which programs that were, and what became of each.
    ///
    /// # Errors
    /// If nothing is left that tells of connections.
    pub(in super::super) fn attach_again(&mut self) -> Result<Vec<(&'static str, Outcome)>, Error> {
        let mut found = Vec::new();
        for program in self.links.absent() {
            let attached = self.links.attach(&self.ebpf, program);
            let events = program == program::SOCKET_EVENTS;
            if events {
                self.follow_events(attached.is_ok())?;
            }
            let outcome = match attached {
                Ok(()) => Outcome::Attached,
                Err(error) => {
                    let why = kernel_error("attach it again", &error).to_string();
                    // From here on, or because it did so all the time.
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

    /// Where `socket_events` saw every socket and cannot any more, the tracepoint does it all, as on a machine without
    /// a cgroup. It stays when the other is back: of what was claimed meanwhile not all need be found.
    fn follow_events(&mut self, attached: bool) -> Result<(), Error> {
        let see_all = attached && self.events_at_root;
        if see_all == self.events_see_all {
            return Ok(());
        }
        if !see_all {
            self.transitions.stay();
            self.transitions.attach(&self.ebpf, &mut self.links)?;
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

    /// Whether everything is still pinned as it was.
    pub(in super::super) fn is_as_pinned(&self) -> bool {
        let Some(pinned) = &self.pinned else {
            return true;
        };
        let same = |path: &Path, id: &Option<FileId>| id.is_some() && file_at(path) == *id;
        let mut maps = pinned.maps.iter();
        let mut links = self.links.held.iter();
        maps.all(|(name, id)| same(&pinned.folder.map(name), id))
            && links.all(|it| {
                let path = self.links.path(it.program);
                path.is_none_or(|path| same(&path, &it.pin))
            })
            && pinned.about.iter().all(|(path, _, id)| same(path, id))
    }

    /// Pins again what is not there, in an order that the next agent can go on with, whenever this stops; returns how
    /// much that was.
    pub(in super::super) fn pin_again(&mut self) -> Result<usize, String> {
        let Some(pinned) = &mut self.pinned else {
            return Ok(0);
        };
        let mut count = 0;
        for (name, id) in &mut pinned.maps {
            let object = match *name {
                map::UNEXPECTED_PEERS => self.strangers.as_fd(),
                map::RECORDS => self.records.as_fd(),
                name => map_fd(&self.ebpf, name).map_err(|error| error.to_string())?,
            };
            count += usize::from(put_back(object, &pinned.folder.map(name), id)?);
        }
        let paths: Vec<Option<PathBuf>> = self
            .links
            .held
            .iter()
            .map(|it| self.links.path(it.program))
            .collect();
        for (held, path) in self.links.held.iter_mut().zip(paths) {
            if let Some(path) = path {
                count += usize::from(put_back(held.link.as_fd(), &path, &mut held.pin)?);
            }
        }
        for (path, object, id) in &mut pinned.about {
            count += usize::from(put_back(object.as_fd(), path, id)?);
        }
        Ok(count)
    }
}
