//! Files that others write, read with a limit: how much is read is bounded before anything is made of it, and a name
//! that turns out to be a FIFO or a device keeps nobody waiting.

use std::{
    fmt,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;

/// The most that is read of a configuration, a party file, a certificate or a key. Unit: bytes.
pub const LARGEST: u64 = 1 << 20;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The operating system's answer.
    #[error("cannot be read: {0}")]
    Failed(#[from] io::Error),
    /// It is something else than a file.
    #[error("is {0}, not a regular file")]
    NoFile(&'static str),
    /// It is a pipe, and what it was to bring did not come in time.
    #[error("is a pipe, and its writer has not finished within {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// There is more of it than may be.
    #[error("is larger than {}", Size(*.0))]
    TooLarge(u64),
    /// It is no text; where that shows first.
    #[error("is not UTF-8 text (line {0})")]
    NoText(usize),
}

/// A number of bytes for people: `1 MiB`.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// All of a regular file, which may be behind symbolic links, if it is no larger than `limit`.
///
/// Never waits for a FIFO's writer or for a device. A file system that does not answer is waited for, as everywhere.
///
/// # Errors
/// As [`Unreadable`] says.
pub fn file(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let (file, metadata) = open(path)?;
    if let Some(kind) = other_kind(&metadata) {
        return Err(Unreadable::NoFile(kind));
    }
    bounded(file, limit)
}

/// As [`file`], or what a pipe brings within `patience`: `--config <(…)` of a shell is one. The null device is empty.
///
/// # Errors
/// As [`Unreadable`] says.
pub fn file_or_pipe(path: &Path, limit: u64, patience: Duration) -> Result<Vec<u8>, Unreadable> {
    let (file, metadata) = open(path)?;
    match other_kind(&metadata) {
        None => bounded(file, limit),
        Some(_) if metadata.file_type().is_fifo() => pipe(&file, limit, patience),
        Some(_) if is_null(&metadata) => Ok(Vec::new()),
        Some(kind) => Err(Unreadable::NoFile(kind)),
    }
}

/// All that comes, if it is no more than `limit`. For standard input, which its user waits for.
///
/// # Errors
/// As [`Unreadable`] says.
pub fn bounded(from: impl Read, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    within(bytes, limit)
}

/// Bytes that are meant to be text.
///
/// # Errors
/// Where they are none.
pub fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let newlines = error.as_bytes()[..end].iter().filter(|it| **it == b'\n');
        Unreadable::NoText(newlines.count() + 1)
    })
}

/// Opens without waiting for anybody. What it is is asked before, because opening a device may do something, and after,
/// because it may be another by then.
fn open(path: &Path) -> Result<(File, Metadata), Unreadable> {
    let metadata = path.metadata()?;
    let kind = metadata.file_type();
    if !(kind.is_file() || kind.is_fifo() || kind.is_dir() || is_null(&metadata)) {
        return Err(Unreadable::NoFile(
            other_kind(&metadata).unwrap_or("something else"),
        ));
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// What it is if it is no regular file.
fn other_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Whether it is `/dev/null`, whatever its name: device 1:3.
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(1, 3)
}

/// Reads until all writers have gone.
fn pipe(mut file: &File, limit: u64, patience: Duration) -> Result<Vec<u8>, Unreadable> {
    let until = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        // Asked first: without a writer, reading says at once that this is the end, also before the first has come.
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut polled, timeout) {
            Ok(0) => return Err(Unreadable::Silent(patience)),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(length) => {
                bytes.extend_from_slice(&buffer[..length]);
                bytes = within(bytes, limit)?;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn within(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, Unreadable> {
    if bytes.len() as u64 > limit {
        return Err(Unreadable::TooLarge(limit));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::symlink};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// A directory of one test, gone with it.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("partymeter-input-{name}-{}", std::process::id());
            let place = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&place).unwrap();
            Self(place)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_file_behind_links_is_read_up_to_the_limit_and_no_further() {
        let place = Place::new("links");
        let (path, link) = (place.0.join("file"), place.0.join("link"));
        std::fs::write(&path, [b'x'; 1000]).unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(file(&link, 1000).unwrap().len(), 1000);
        let refused = file(&link, 999).unwrap_err();
        assert_eq!(refused.to_string(), "is larger than 999 bytes");
        let refused = file(Path::new("/proc/self/environ"), 0).unwrap_err();
        assert!(
            matches!(refused, Unreadable::TooLarge(0)),
            "a size that the file system does not tell is no size: {refused}"
        );
    }

    #[test]
    fn what_is_no_file_is_named_at_once() {
        let place = Place::new("kinds");
        let fifo = place.0.join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let said = |path: &Path| file(path, LARGEST).unwrap_err().to_string();
        assert_eq!(said(&fifo), "is a FIFO, not a regular file");
        assert_eq!(said(&place.0), "is a directory, not a regular file");
        assert_eq!(
            said(Path::new("/dev/zero")),
            "is a device, not a regular file"
        );
        let zero = file_or_pipe(Path::new("/dev/zero"), LARGEST, PATIENCE);
        assert_eq!(
            zero.unwrap_err().to_string(),
            "is a device, not a regular file"
        );
        let null = file_or_pipe(Path::new("/dev/null"), LARGEST, PATIENCE);
        assert_eq!(null.unwrap(), b"");
    }

    #[test]
    fn a_pipe_brings_what_its_writer_writes_and_is_not_waited_for_for_ever() {
        let place = Place::new("pipe");
        let fifo = place.0.join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let silent = file_or_pipe(&fifo, LARGEST, PATIENCE).unwrap_err();
        assert_eq!(
            silent.to_string(),
            "is a pipe, and its writer has not finished within 300ms"
        );
        let written = |length: usize| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut to = OpenOptions::new().write(true).open(&fifo).unwrap();
                    // The reader goes away where it is too much.
                    drop(to.write_all(&vec![b'x'; length]));
                });
                file_or_pipe(&fifo, 200_000, Duration::from_mins(1))
            })
        };
        assert_eq!(written(200_000).unwrap().len(), 200_000);
        assert!(matches!(
            written(300_000).unwrap_err(),
            Unreadable::TooLarge(200_000)
        ));
    }

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        let refused = text(b"a\nb\n\xff".to_vec()).unwrap_err();
        assert_eq!(refused.to_string(), "is not UTF-8 text (line 3)");
        assert_eq!(text(b"caf\xc3\xa9".to_vec()).unwrap(), "café");
    }
}
