//! Directories that no other user can change or replace: for sockets, pins and files that the agent trusts when it finds
//! them again.
//!
//! The path is opened component by component, each relative to its parent, so that nothing can be replaced between the
//! check and the use. The directory itself must not be a symbolic link; symbolic links on the path must belong to root or
//! this user.

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

/// The number of symbolic links followed, as in the kernel (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// Write permission of the group and of all others.
const OTHERS_WRITE: u32 = 0o022;
/// With this bit, only the owner of an entry or of the directory can remove or rename the entry.
const STICKY: u32 = 0o1000;

/// Why a directory is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum UnsafeDirectory {
    /// A system call fails.
    #[error("{}: {source}", path.display())]
    System {
        /// The directory or an ancestor.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a symbolic link.
    #[error("{} is a symbolic link; help: name the directory itself", .0.display())]
    SymbolicLink(PathBuf),
    /// It belongs to another user.
    #[error("{} belongs to the user {uid}, not to root or this user; help: change its owner, or name another", path.display())]
    Owner {
        /// The directory or an ancestor.
        path: PathBuf,
        /// The owner.
        uid: u32,
    },
    /// Other users can write to it.
    #[error("others can write to {} (mode {mode:04o}); help: remove that permission (chmod go-w), or name another", path.display())]
    Writable {
        /// The directory or an ancestor.
        path: PathBuf,
        /// The permissions.
        mode: u32,
    },
}

impl UnsafeDirectory {
    fn system(path: &Path, error: Errno) -> Self {
        Self::System {
            path: path.to_owned(),
            source: error.into(),
        }
    }

    /// Whether the directory or an ancestor does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a directory that belongs to root or this user and that nobody else can write to.
///
/// # Errors
/// If it does not exist or is not safe.
pub fn open(path: &Path) -> Result<File, UnsafeDirectory> {
    walk(path, None)
}

/// As [`open`]; creates missing components of the path with that mode.
///
/// # Errors
/// If it cannot be created or is not safe.
pub fn open_or_create(path: &Path, mode: u32) -> Result<File, UnsafeDirectory> {
    walk(path, Some(mode))
}

/// Checks what [`open_or_create`] and a write would find; changes nothing.
///
/// # Errors
/// If the directory could not be created or written to, or is not safe.
pub fn probe(path: &Path) -> Result<(), UnsafeDirectory> {
    let missing = match walk(path, None) {
        Ok(found) => return may_write(found, path),
        Err(error) if error.is_missing() => error,
        Err(error) => return Err(error),
    };
    // The nearest existing ancestor must allow to create the next.
    for parent in path.ancestors().skip(1) {
        match walk_to(parent, None, Need::Ancestor) {
            Ok(found) => return may_write(found, parent),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// Checks that this process may create and remove entries.
fn may_write(directory: impl AsFd, path: &Path) -> Result<(), UnsafeDirectory> {
    let asked = AccessFlags::W_OK | AccessFlags::X_OK;
    let allowed = faccessat(directory, ".", asked, AtFlags::AT_EACCESS);
    allowed.map_err(|error| UnsafeDirectory::system(path, error))
}

/// What others must not be able to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Replace an entry of the directory.
    Ancestor,
    /// Replace an entry, or add one.
    Exclusive,
}

fn walk(path: &Path, create: Option<u32>) -> Result<File, UnsafeDirectory> {
    let found = walk_to(path, create, Need::Exclusive)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = openat(&found, ".", flags, Mode::empty());
    opened
        .map(File::from)
        .map_err(|error| UnsafeDirectory::system(path, error))
}

/// Opens the directory at the end of the path with `O_PATH`.
fn walk_to(path: &Path, create: Option<u32>, wanted: Need) -> Result<OwnedFd, UnsafeDirectory> {
    let whole = std::path::absolute(path).map_err(|source| UnsafeDirectory::System {
        path: path.to_owned(),
        source,
    })?;
    let mut rest = names(&whole);
    let (mut at, mut shown) = (root()?, PathBuf::from("/"));
    let mut links = 0;
    check(
        &at,
        &shown,
        if rest.is_empty() {
            wanted
        } else {
            Need::Ancestor
        },
    )?;
    while let Some(name) = rest.pop_front() {
        let here = shown.join(&name);
        let failed = |error| UnsafeDirectory::system(&here, error);
        let found = match (named(&at, &name), create) {
            (Err(Errno::ENOENT), Some(mode)) => {
                match mkdirat(&at, name.as_os_str(), Mode::from_bits_truncate(mode)) {
                    // Another process has just created it; it is checked as well.
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
                return Err(UnsafeDirectory::SymbolicLink(here));
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
        let part = if rest.is_empty() {
            wanted
        } else {
            Need::Ancestor
        };
        check(&found, &here, part)?;
        (at, shown) = (found, here);
    }
    Ok(at)
}

fn root() -> Result<OwnedFd, UnsafeDirectory> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = openat(AT_FDCWD, "/", flags, Mode::empty());
    root.map_err(|error| UnsafeDirectory::system(Path::new("/"), error))
}

/// Opens an entry, without following a symbolic link.
fn named(directory: &OwnedFd, name: &OsString) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name.as_os_str(), flags, Mode::empty())
}

/// The components of a path, including `..`.
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

fn check(directory: impl AsFd, path: &Path, wanted: Need) -> Result<(), UnsafeDirectory> {
    let data = fstat(directory).map_err(|error| UnsafeDirectory::system(path, error))?;
    if kind(&data) != SFlag::S_IFDIR {
        return Err(UnsafeDirectory::system(path, Errno::ENOTDIR));
    }
    is_trusted(&data, path)?;
    let mode = data.st_mode & 0o7777;
    let open = match wanted {
        Need::Exclusive => mode & OTHERS_WRITE != 0,
        // On most systems only root is in the group root, to which `/` and `/run` belong in some images.
        Need::Ancestor if data.st_gid == 0 => mode & 0o002 != 0 && mode & STICKY == 0,
        Need::Ancestor => mode & OTHERS_WRITE != 0 && mode & STICKY == 0,
    };
    if open {
        let path = path.to_owned();
        return Err(UnsafeDirectory::Writable { path, mode });
    }
    Ok(())
}

/// Checks that the owner is root or this user.
fn is_trusted(data: &FileStat, path: &Path) -> Result<(), UnsafeDirectory> {
    if data.st_uid == 0 || data.st_uid == geteuid().as_raw() {
        return Ok(());
    }
    Err(UnsafeDirectory::Owner {
        path: path.to_owned(),
        uid: data.st_uid,
    })
}

#[cfg(test)]
mod tests;
