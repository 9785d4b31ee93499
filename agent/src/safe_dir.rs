//! Directories that nobody else can put things into, take things out of, or replace: for the sockets, pins and files
//! that the agent trusts when it finds them again.
//!
//! The way to the directory is walked name by name, each opened relative to the one before, so that nothing can be
//! exchanged between the check and the use. Of the directory itself no symbolic link is taken; on the way to it only
//! links that root or this user has made.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat},
    unistd::{AccessFlags, faccessat, geteuid},
};

/// Symbolic links on the way that are followed; the kernel follows no more (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// Write permission of the group and of all others.
const OTHERS_WRITE: u32 = 0o022;
/// In a directory with this bit only the owner of an entry, or of the directory, can remove or rename it.
const STICKY: u32 = 0o1000;

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unsafe {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    System {
        /// The directory, or one on the way to it.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It could lead anywhere.
    #[error("{} is a symbolic link; help: name the directory itself", .0.display())]
    SymbolicLink(PathBuf),
    /// Its owner can put anything there.
    #[error("{} belongs to the user {uid}, not to root or this user; help: change its owner, or name another", path.display())]
    Owner {
        /// The directory, or one on the way to it.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Others can put things there, or replace what is there.
    #[error("others can write to {} (mode {mode:04o}); help: take that away (chmod go-w), or name another", path.display())]
    Writable {
        /// The directory, or one on the way to it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl Unsafe {
    fn system(path: &Path, error: Errno) -> Self {
        Self::System {
            path: path.to_owned(),
            source: error.into(),
        }
    }

    /// Whether the directory, or one on the way to it, is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a directory of which the owner is root or this user, and that nobody else can write to.
///
/// # Errors
/// If it is not there, or not safe.
pub fn open(path: &Path) -> Result<File, Unsafe> {
    walk(path, None)
}

/// As [`open`]; makes what is missing of the path, with that mode.
///
/// # Errors
/// If it cannot be made, or is not safe.
pub fn open_or_create(path: &Path, mode: u32) -> Result<File, Unsafe> {
    walk(path, Some(mode))
}

/// What who wants to write there would find by [`open_or_create`]; changes nothing.
///
/// # Errors
/// If the directory could not be made or written to, or is not safe.
pub fn probe(path: &Path) -> Result<(), Unsafe> {
    let missing = match walk(path, None) {
        Ok(found) => return may_write(found, path),
        Err(error) if error.is_missing() => error,
        Err(error) => return Err(error),
    };
    // The nearest that is there has to let us make the next.
    for parent in path.ancestors().skip(1) {
        match walk_to(parent, None, Mine::Way) {
            Ok(found) => return may_write(found, parent),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// Whether this process may make and remove entries there.
fn may_write(directory: impl AsFd, path: &Path) -> Result<(), Unsafe> {
    let asked = AccessFlags::W_OK | AccessFlags::X_OK;
    let allowed = faccessat(directory, ".", asked, AtFlags::AT_EACCESS);
    allowed.map_err(|error| Unsafe::system(path, error))
}

/// What is asked of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mine {
    /// Nobody else can replace what is in it.
    Way,
    /// Nobody else can put anything into it either.
    Whole,
}

fn walk(path: &Path, create: Option<u32>) -> Result<File, Unsafe> {
    let found = walk_to(path, create, Mine::Whole)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = openat(&found, ".", flags, Mode::empty());
    opened
        .map(File::from)
        .map_err(|error| Unsafe::system(path, error))
}

/// The directory at the end of the path, open for nothing but being named.
fn walk_to(path: &Path, create: Option<u32>, wanted: Mine) -> Result<OwnedFd, Unsafe> {
    let whole = std::path::absolute(path).map_err(|source| Unsafe::System {
        path: path.to_owned(),
        source,
    })?;
    let mut rest = names(&whole);
    let (mut at, mut shown) = (root()?, PathBuf::from("/"));
    let mut links = 0;
    check(
        &at,
        &shown,
        if rest.is_empty() { wanted } else { Mine::Way },
    )?;
    while let Some(name) = rest.pop_front() {
        let here = shown.join(&name);
        let failed = |error| Unsafe::system(&here, error);
        let found = match (named(&at, &name), create) {
            (Err(Errno::ENOENT), Some(mode)) => {
                match mkdirat(&at, name.as_os_str(), Mode::from_bits_truncate(mode)) {
                    // Another has just made it; it is looked at like any other.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(failed(error)),
                }
                named(&at, &name)
            }
            (found, _) => found,
        };
        let found = found.map_err(failed)?;
        let data = fstat(&found).map_err(failed)?;
        if kind(&data) == SFlag::S_IFLNK {
            if rest.is_empty() {
                return Err(Unsafe::SymbolicLink(here));
            }
            is_trusted(&data, &here)?;
            links += 1;
            if links > LINKS {
                return Err(failed(Errno::ELOOP));
            }
            let target = PathBuf::from(readlinkat(&found, "").map_err(failed)?);
            if target.is_absolute() {
                (at, shown) = (root()?, PathBuf::from("/"));
            }
            for name in names(&target).into_iter().rev() {
                rest.push_front(name);
            }
            continue;
        }
        let part = if rest.is_empty() { wanted } else { Mine::Way };
        check(&found, &here, part)?;
        (at, shown) = (found, here);
    }
    Ok(at)
}

fn root() -> Result<OwnedFd, Unsafe> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = openat(AT_FDCWD, "/", flags, Mode::empty());
    root.map_err(|error| Unsafe::system(Path::new("/"), error))
}

/// What has that name, be it a symbolic link.
fn named(directory: &OwnedFd, name: &OsString) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name.as_os_str(), flags, Mode::empty())
}

/// The names of a path, `..` among them.
fn names(path: &Path) -> VecDeque<OsString> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(named).collect()
}

fn kind(data: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT
}

fn check(directory: impl AsFd, path: &Path, wanted: Mine) -> Result<(), Unsafe> {
    let data = fstat(directory).map_err(|error| Unsafe::system(path, error))?;
    if kind(&data) != SFlag::S_IFDIR {
        return Err(Unsafe::system(path, Errno::ENOTDIR));
    }
    is_trusted(&data, path)?;
    let mode = data.st_mode & 0o7777;
    let open = match wanted {
        Mine::Whole => mode & OTHERS_WRITE != 0,
        // The group root is no more than root itself on most systems, and `/` and `/run` are its in some images.
        Mine::Way if data.st_gid == 0 => mode & 0o002 != 0 && mode & STICKY == 0,
        Mine::Way => mode & OTHERS_WRITE != 0 && mode & STICKY == 0,
    };
    if open {
        let path = path.to_owned();
        return Err(Unsafe::Writable { path, mode });
    }
    Ok(())
}

/// Root's or this user's own.
fn is_trusted(data: &FileStat, path: &Path) -> Result<(), Unsafe> {
    if data.st_uid == 0 || data.st_uid == geteuid().as_raw() {
        return Ok(());
    }
    Err(Unsafe::Owner {
        path: path.to_owned(),
        uid: data.st_uid,
    })
}

#[cfg(test)]
mod tests;
