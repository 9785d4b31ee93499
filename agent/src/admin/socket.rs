//! The administration socket. It never has wider permissions than it should, never replaces anything but a stale socket of
//! the agent, and is removed at the end if it is still the agent's.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    io,
    os::{fd::AsRawFd as _, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
        stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat, umask},
    },
    unistd::{Gid, Group, UnlinkatFlags, fchown, fchownat, geteuid, unlinkat},
};

use crate::{
    Misconfigured,
    config::{Admin, AdminSocket},
    finding::{Finding, at_least, or_else},
    lock, safe_dir,
};

/// The mode of its directory if that has to be created. Others may see the socket, but not open it.
const DIRECTORY: u32 = 0o755;

/// The result of opening the socket.
#[derive(Debug)]
pub enum Opened {
    /// The socket listens.
    At(Socket),
    /// The configuration disables it.
    Off,
    /// The default socket cannot be opened, for this reason; the agent runs without.
    Without(String),
}

impl Opened {
    /// The socket, if there is one.
    pub fn socket(&self) -> Option<&Socket> {
        match self {
            Self::At(socket) => Some(socket),
            Self::Off | Self::Without(_) => None,
        }
    }
}

/// A listening socket; removes its file when dropped.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    pub(super) group: Option<Gid>,
    directory: File,
    name: OsString,
    /// Device and inode.
    identity: (u64, u64),
    /// Held while the socket is open; the kernel releases it when the process ends.
    _lock: File,
}

/// Opens the socket. To be called before there is a second thread, since it changes the umask of the process for a
/// moment.
///
/// # Errors
/// If a configured socket cannot be opened, or the configured group does not exist.
pub fn open(admin: &Admin) -> Result<Opened, Misconfigured> {
    let Some(path) = admin.socket.path() else {
        return Ok(Opened::Off);
    };
    let group = group(admin).map_err(|why| Misconfigured(format!("admin.group: {why}")))?;
    match look_ahead(path, group).and_then(|()| Socket::new(path, group)) {
        Ok(socket) => Ok(Opened::At(socket)),
        Err(why) if is_chosen(admin) => Err(Misconfigured(unusable(&why))),
        Err(why) => Ok(Opened::Without(without(&why))),
    }
}

/// Checks what [`open`] would find; changes nothing.
pub fn probe(admin: &Admin) -> Finding {
    const WHAT: &str = "administration";
    let Some(path) = admin.socket.path() else {
        return Finding::required(WHAT, Ok("off: admin.socket is \"\"".to_owned()));
    };
    let group = match group(admin) {
        Ok(group) => group,
        Err(why) => return Finding::required(WHAT, Err(format!("admin.group: {why}"))),
    };
    let who = admin.group.as_ref().map_or_else(
        || "root".to_owned(),
        |group| format!("root and the group {group}"),
    );
    match look_ahead(path, group) {
        Ok(()) => Finding::required(WHAT, Ok(format!("at {}, for {who}", path.display()))),
        Err(why) if is_chosen(admin) => Finding::required(WHAT, Err(unusable(&why))),
        Err(why) => Finding::optional(WHAT, Err(without(&why))),
    }
}

/// Whether the socket is configured. The agent runs without a default one that it cannot open.
fn is_chosen(admin: &Admin) -> bool {
    admin.socket != AdminSocket::Standard || admin.group.is_some()
}

fn unusable(why: &str) -> String {
    or_else(&format!("admin.socket: {why}"), "set it to \"\" for none")
}

fn without(why: &str) -> String {
    at_least(why.to_owned(), "name another socket with admin.socket")
}

/// Checks everything that can be checked before the socket is created.
fn look_ahead(path: &Path, group: Option<Gid>) -> Result<(), String> {
    let (parent, name) = split(path)?;
    safe_dir::probe(parent).map_err(|error| error.to_string())?;
    match safe_dir::open(parent) {
        Ok(directory) => {
            is_locked(&directory, &name, path)?;
            is_stale(&directory, &name, path)?;
        }
        // A directory that can be created can be written to.
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error.to_string()),
    }
    group.map_or(Ok(()), |group| {
        may_give_to(group).map_err(|error| not_given(path, group, error))
    })
}

/// Checks that this process may give a file to that group, with a memory file.
fn may_give_to(group: Gid) -> nix::Result<()> {
    let trial = memfd_create(c"partymeter-group", MFdFlags::MFD_CLOEXEC)?;
    fchown(trial, None, Some(group))
}

fn not_given(path: &Path, group: Gid, error: Errno) -> String {
    let path = path.display();
    format!(
        "cannot give {path} to the group {group}: {error}; help: name a group of this user, or run as root"
    )
}

/// Checks that no other agent holds the lock.
fn is_locked(directory: &File, name: &OsString, path: &Path) -> Result<(), String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match openat(directory, lock_of(name).as_os_str(), flags, Mode::empty()) {
        Ok(found) => match lock::is_taken(&File::from(found)) {
            Ok(false) => Ok(()),
            Ok(true) => Err(taken(path)),
            Err(error) => Err(format!("cannot lock {}.lock: {error}", path.display())),
        },
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(no_lock(path, error)),
    }
}

fn lock_of(name: &OsString) -> OsString {
    let mut lock = name.clone();
    lock.push(".lock");
    lock
}

fn no_lock(path: &Path, error: Errno) -> String {
    format!("cannot make {}.lock: {error}", path.display())
}

/// The configured group.
fn group(admin: &Admin) -> Result<Option<Gid>, String> {
    let Some(name) = &admin.group else {
        return Ok(None);
    };
    if let Ok(number) = name.parse::<u32>() {
        return Ok(Some(Gid::from_raw(number)));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(Some(group.gid)),
        Ok(None) => Err(format!(
            "there is no group {name:?}; help: create it, name another, or give its number"
        )),
        Err(error) => Err(format!(
            "cannot look {name:?} up: {error}; help: give its number"
        )),
    }
}

fn split(path: &Path) -> Result<(&Path, OsString), String> {
    let parts = path.parent().zip(path.file_name());
    let (parent, name) = parts.ok_or_else(|| format!("{} names no file", path.display()))?;
    Ok((parent, name.to_owned()))
}

impl Socket {
    fn new(path: &Path, group: Option<Gid>) -> Result<Self, String> {
        let shown = path.display();
        let (parent, name) = split(path)?;
        let directory =
            safe_dir::open_or_create(parent, DIRECTORY).map_err(|error| error.to_string())?;
        let lock = lock(&directory, &name, path)?;
        if is_stale(&directory, &name, path)? {
            unlinkat(&directory, name.as_os_str(), UnlinkatFlags::NoRemoveDir).map_err(
                |error| format!("cannot remove {shown}, which nobody listens on: {error}"),
            )?;
        }
        let failed = |error: io::Error| format!("cannot listen on {shown}: {error}");
        // Nobody else may open it until its group is set.
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let data = look(&directory, &name).map_err(|error| failed(error.into()))?;
        let socket = Self {
            listener,
            path: path.to_owned(),
            group,
            directory,
            name,
            identity: identity(&data),
            _lock: lock,
        };
        if let Some(group) = group {
            let given = socket.give_to(group);
            given.map_err(|error| not_given(path, group, error))?;
        }
        Ok(socket)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn give_to(&self, group: Gid) -> nix::Result<()> {
        let name = self.name.as_os_str();
        let no_link = AtFlags::AT_SYMLINK_NOFOLLOW;
        // The owner first, then the mode: the previous group must never have access.
        fchownat(&self.directory, name, None, Some(group), no_link)?;
        let mode = Mode::from_bits_truncate(0o660);
        fchmodat(&self.directory, name, mode, FchmodatFlags::FollowSymlink)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = look(&self.directory, &self.name);
        if found.is_ok_and(|data| identity(&data) == self.identity) {
            let name = self.name.as_os_str();
            // If this fails, the next agent removes it.
            let _ = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Takes the lock that one agent holds at a time.
fn lock(directory: &File, name: &OsString, path: &Path) -> Result<File, String> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o600);
    let lock = openat(directory, lock_of(name).as_os_str(), flags, mode)
        .map_err(|error| no_lock(path, error))?;
    let lock = File::from(lock);
    match lock::take(&lock) {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(taken(path)),
        Err(TryLockError::Error(error)) => {
            Err(format!("cannot lock {}.lock: {error}", path.display()))
        }
    }
}

fn taken(path: &Path) -> String {
    format!(
        "another agent listens on {}; help: stop it, or name another socket",
        path.display()
    )
}

/// Whether there is a stale socket of this user to remove first. Fails for anything else that is there.
fn is_stale(directory: &File, name: &OsString, path: &Path) -> Result<bool, String> {
    let shown = path.display();
    let data = match look(directory, name) {
        Ok(data) => data,
        Err(Errno::ENOENT) => return Ok(false),
        Err(error) => return Err(format!("cannot look at {shown}: {error}")),
    };
    if SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(format!(
            "{shown} exists and is not a socket; help: name another"
        ));
    }
    if data.st_uid != geteuid().as_raw() {
        let uid = data.st_uid;
        return Err(format!(
            "{shown} belongs to the user {uid}; help: name another"
        ));
    }
    match answers(path) {
        Ok(false) => Ok(true),
        Ok(true) => Err(taken(path)),
        Err(error) => Err(format!("cannot tell who listens on {shown}: {error}")),
    }
}

/// Whether a process listens on the socket. Does not wait for it to accept.
fn answers(path: &Path) -> nix::Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(client.as_raw_fd(), &UnixAddr::new(path)?) {
        // EAGAIN: the queue of the listener is full.
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        Err(error) => Err(error),
    }
}

fn look(directory: &File, name: &OsString) -> nix::Result<FileStat> {
    fstatat(directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn identity(data: &FileStat) -> (u64, u64) {
    (data.st_dev, data.st_ino)
}

#[cfg(test)]
mod tests;
