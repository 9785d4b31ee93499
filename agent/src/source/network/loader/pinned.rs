//! The pinned files beside the links.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use super::links::{FileId, file_at};
use crate::source::network::{pin::PinDirectory, sys::link};

/// What is pinned beside the links, and how to pin it again.
pub(super) struct Pinned {
    pub(super) directory: PinDirectory,
    /// The maps and the files of their pins.
    pub(super) maps: BTreeMap<&'static str, Option<FileId>>,
    /// `names` and `state`. `state` comes last: without it the rest is unusable.
    pub(super) metadata: [(PathBuf, OwnedFd, Option<FileId>); 2],
}

impl Pinned {
    /// Reads everything that was just pinned.
    pub(super) fn new(directory: &PinDirectory, maps: Vec<&'static str>) -> io::Result<Self> {
        let metadata =
            |path: PathBuf| link::open(&path).map(|fd| (path.clone(), fd, file_at(&path)));
        let [names, state] = directory.metadata_files();
        let maps = maps.into_iter();
        Ok(Self {
            maps: maps
                .map(|name| (name, file_at(&directory.map(name))))
                .collect(),
            metadata: [metadata(names)?, metadata(state)?],
            directory: directory.clone(),
        })
    }
}

/// Pins an object again if its pin is missing. Returns whether it was.
pub(super) fn restore(
    object: BorrowedFd<'_>,
    path: &Path,
    id: &mut Option<FileId>,
) -> Result<bool, String> {
    let shown = path.display();
    match file_at(path) {
        Some(there) if Some(there) == *id => return Ok(false),
        Some(_) => return Err(format!("{shown} is not partymeter's; help: remove it")),
        None => {}
    }
    link::pin(object, path).map_err(|error| format!("cannot pin {shown}: {error}"))?;
    *id = file_at(path);
    Ok(true)
}
