//! The socket of administration: made so that at no time more may open it than should, never in place of something else,
//! and removed at the end if it is still ours.

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

/// Mode of its directory, where that has to be made: who may not open the socket may know that it is there.
const DIRECTORY: u32 = 0o755;

/// What has become of it.
#[derive(Debug)]
pub enum Opened {
    /// It is there.
    At(Socket),
    /// The configuration wants none.
    Off,
    /// The default cannot be had, for this reason; all else goes on.
    Without(String),
}

impl Opened {
    /// The socket, if it is there.
    pub fn socket(&self) -> Option<&Socket> {
        match self {
            Self::At(socket) => Some(socket),
            Self::Off | Self::Without(_) => None,
        }
    }
}

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    pub(super) group: Option<Gid>,
    directory: File,
    name: OsString,
    /// Device and inode.
    identity: (u64, u64),
    /// This agent's alone as long as it is open, whatever ends the process.
    _lock: File,
}

/// Makes the socket of a configuration. To be called before there is a second thread: while it is made, the process'
/// file mode creation mask is another.
///
/// # Errors
/// If the configuration names one that cannot be had, or a group that there is not.
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

/// What [`open`] would find; changes nothing.
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

/// Whether there has to be one. Where nothing is configured, the agent goes on without.
fn is_chosen(admin: &Admin) -> bool {
    admin.socket != AdminSocket::Standard || admin.group.is_some()
}

fn unusable(why: &str) -> String {
    or_else(&format!("admin.socket: {why}"), "set it to \"\" for none")
}

fn without(why: &str) -> String {
    at_least(why.to_owned(), "name another socket with admin.socket")
}

/// Everything about the socket that can be told before it is made.
fn look_ahead(path: &Path, group: Option<Gid>) -> Result<(), String> {
    let (parent, name) = split(path)?;
    safe_dir::probe(parent).map_err(|error| error.to_string())?;
    match safe_dir::open(parent) {
        Ok(directory) => {
            is_locked(&directory, &name, path)?;
            is_stale(&directory, &name, path)?;
        }
        // Who may make it may make anything in it.
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error.to_string()),
    }
    group.map_or(Ok(()), |group| {
        may_give_to(group).map_err(|error| not_given(path, group, error))
    })
}

/// Fails where this process may not give what is its own to that group, by the same rule as for any file.
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

/// Fails where another agent has it.
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

/// The group that a configuration names.
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
        // Whoever may open it later, at first nobody else may.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn give_to(&self, group: Gid) -> nix::Result<()> {
        let name = self.name.as_os_str();
        let no_link = AtFlags::AT_SYMLINK_NOFOLLOW;
        // First whose it is, then what they may: the group that it had before may never.
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
            // If it cannot be removed, the next agent does.
            let _ = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// One agent has it at a time.
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

/// Whether something is there that has to be removed first: a socket of ours that nobody listens on.
fn is_stale(directory: &File, name: &OsString, path: &Path) -> Result<bool, String> {
    let shown = path.display();
    let data = match look(directory, name) {
        Ok(data) => data,
        Err(Errno::ENOENT) => return Ok(false),
        Err(error) => return Err(format!("cannot look at {shown}: {error}")),
    };
    if SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(format!(
            "{shown} is there and is no socket; help: name another"
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

/// Whether somebody listens there. Does not wait for them.
fn answers(path: &Path) -> nix::Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(client.as_raw_fd(), &UnixAddr::new(path)?) {
        // EAGAIN: their queue is full.
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
