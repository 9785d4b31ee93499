//! The files in the ledger's directory.
//!
//! Only regular files whose names have the worker's form belong to the ledger. Anything else is neither read (it may be a
//! pipe that never ends, or a symbolic link) nor removed.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::unistd::geteuid;

use super::Timestamp;
use crate::lock;

/// The list of open connections. The agent writes it whenever it is missing; a reader removes it to get a new one.
pub(super) const OPEN: &str = "open.jsonl";
/// Start and end of the name of a file of ended connections; between them is the time when it was started.
const ENDED: (&str, &str) = ("ended-", ".jsonl");

/// A file of ended connections.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) path: PathBuf,
    /// When it was started, by its name.
    pub(super) begun: SystemTime,
    /// Unit: bytes.
    pub(super) length: u64,
    /// When it was last written to.
    pub(super) modified: SystemTime,
    /// Whether it belongs to the user of this process.
    pub(super) is_own: bool,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files of ended connections, the oldest first.
    pub(super) ended: Vec<Stored>,
    /// Names of the same form that are not regular files.
    pub(super) not_regular: Vec<String>,
}

pub(super) fn list(directory: &Path) -> io::Result<Listing> {
    let mut found = Listing::default();
    let own = geteuid().as_raw();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((name, begun)) = name.to_str().and_then(|name| Some((name, start_of(name)?)))
        else {
            continue;
        };
        // Of the entry itself, not of a link's target.
        let data = match entry.metadata() {
            Ok(data) => data,
            // The agent has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if data.is_file() {
            found.ended.push(Stored {
                path: entry.path(),
                begun,
                length: data.len(),
                modified: data.modified()?,
                is_own: data.uid() == own,
            });
        } else {
            found.not_regular.push(name.to_owned());
        }
    }
    found.ended.sort_by_key(|file| file.begun);
    found.not_regular.sort();
    Ok(found)
}

/// The name of a file that was started at that time.
pub(super) fn name(begun: SystemTime) -> String {
    let begun = Timestamp(begun).to_string();
    format!("{}{}{}", ENDED.0, begun.replace(':', ""), ENDED.1)
}

/// When the file of that name was started; `None` if the name has another form.
fn start_of(name: &str) -> Option<SystemTime> {
    let text = name.strip_prefix(ENDED.0)?.strip_suffix(ENDED.1)?;
    let (date, time) = text.split_once('T')?;
    if time.len() < 6 || !time.is_ascii() {
        return None;
    }
    let text = format!("{date}T{}:{}:{}", &time[..2], &time[2..4], &time[4..]);
    let begun = humantime::parse_rfc3339(&text).ok()?;
    (self::name(begun) == name).then_some(begun)
}

/// The start time for a new file's name: later than all others, whatever the clock does, so that the order of names is
/// the order of writing.
pub(super) fn after(newest: Option<SystemTime>) -> SystemTime {
    let now = SystemTime::now();
    let next = newest.and_then(|it| it.checked_add(Duration::from_micros(1)));
    next.map_or(now, |next| next.max(now))
}

/// Creates a file that only its owner can read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Opens a regular file; `None` if it is something else or a symbolic link. Never blocks, as opening a pipe would.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path);
    match file {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        // ELOOP: a symbolic link; ENXIO: a socket.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error where another agent has locked the directory.
pub(super) const TAKEN: &str = "another agent writes its ledger there";

/// Locks the directory against other agents until dropped. `None` if the file system has no locks.
pub(super) fn lock(directory: &Path) -> io::Result<Option<File>> {
    let lock = File::open(directory)?;
    match lock::take(&lock) {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::WouldBlock, TAKEN)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    /// A directory that is removed when dropped.
    pub(in crate::ledger) struct Directory(pub(in crate::ledger) PathBuf);

    impl Directory {
        pub(in crate::ledger) fn new(test: &str) -> Self {
            let name = format!("partymeter-ledger-{}-{test}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn only_regular_files_with_our_names_are_ours() {
        let directory = Directory::new("ours");
        let at = |name: &str| directory.0.join(name);
        let ours = "ended-2026-01-31T120000.000001Z.jsonl";
        for name in [
            ours,
            "ended-.jsonl",
            "ended-by-me.jsonl",
            "ended-2026-01-31T120000Z.jsonl",
            "ended-2026-01-31T120000.000001Z.jsonl.bak",
            "ended-2026-01-31T99é000.000001Z.jsonl",
            "notes.txt",
        ] {
            fs::write(at(name), "x").unwrap();
        }
        symlink("/etc/passwd", at("ended-2026-01-31T120000.000002Z.jsonl")).unwrap();
        let pipe = at("ended-2026-01-31T120000.000003Z.jsonl");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let found = list(&directory.0).unwrap();
        let paths: Vec<_> = found.ended.iter().map(|file| file.path.clone()).collect();
        assert_eq!(paths, [at(ours)]);
        assert_eq!(found.not_regular.len(), 2);
        assert!(open(&pipe).unwrap().is_none());
        let link = at("ended-2026-01-31T120000.000002Z.jsonl");
        assert!(open(&link).unwrap().is_none());
        assert!(open(&at(ours)).unwrap().is_some());
    }

    #[test]
    fn the_order_of_names_is_that_of_writing_whatever_the_clock_does() {
        let later = SystemTime::now() + Duration::from_hours(24);
        let newest = name(later);
        let next = name(after(start_of(&newest)));
        assert!(next > newest, "{next} comes after {newest}");
        assert_eq!(start_of("ended-9999-99-31T120000.000001Z.jsonl"), None);
        // No time at all, and no panic.
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        assert!(name(far).starts_with("ended-9999-12-31"));
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(name(before).starts_with("ended-1970-01-01"));
    }

    #[test]
    fn one_agent_writes_to_a_directory() {
        let directory = Directory::new("lock");
        let first = lock(&directory.0).unwrap();
        if first.is_some() {
            let second = lock(&directory.0).unwrap_err();
            assert!(second.to_string().contains("another agent"), "{second}");
        }
        drop(first);
        lock(&directory.0).unwrap();
    }
}
