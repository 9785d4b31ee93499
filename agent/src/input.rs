//! Reads files that others write: at most so many bytes, and never waiting for a FIFO or a device that is found in place of
//! a file.

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

/// The largest configuration, party file, certificate or key. Unit: bytes.
pub const LARGEST: u64 = 1 << 20;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The operating system's error.
    #[error("cannot be read: {0}")]
    Failed(#[from] io::Error),
    /// It is not a file.
    #[error("is {0}, not a regular file")]
    NotAFile(&'static str),
    /// It is a pipe whose writer took too long.
    #[error("is a pipe, and its writer has not finished within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// It is over the limit.
    #[error("is larger than {}", Size(*.0))]
    TooLarge(u64),
    /// It is not text; the first line that is not.
    #[error("is not UTF-8 text (line {0})")]
    NotText(usize),
}

/// Shows a number of bytes as `1 MiB`.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 30) == 0 => write!(f, "{} GiB", bytes >> 30),
            bytes if bytes % (1 << 20) == 0 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// The contents of a regular file, which may be behind symbolic links and no larger than `limit`.
///
/// Never waits for a FIFO's writer or for a device, but for a file system that hangs.
///
/// # Errors
/// As [`Unreadable`] says.
pub fn file(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let (file, metadata) = open(path)?;
    if let Some(kind) = other_kind(&metadata) {
        return Err(Unreadable::NotAFile(kind));
    }
    bounded(file, limit)
}

/// As [`file`], but also reads a pipe, such as a shell's `<(…)`, within `patience`. The null device is empty.
///
/// # Errors
/// As [`Unreadable`] says.
pub fn file_or_pipe(path: &Path, limit: u64, patience: Duration) -> Result<Vec<u8>, Unreadable> {
    let (file, metadata) = open(path)?;
    match other_kind(&metadata) {
        None => bounded(file, limit),
        Some(_) if metadata.file_type().is_fifo() => pipe(&file, limit, patience),
        Some(_) if is_null(&metadata) => Ok(Vec::new()),
        Some(kind) => Err(Unreadable::NotAFile(kind)),
    }
}

/// Reads to the end, at most `limit`. Waits as long as it takes: for standard input.
///
/// # Errors
/// As [`Unreadable`] says.
pub fn bounded(from: impl Read, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    within(bytes, limit)
}

/// Bytes as text.
///
/// # Errors
/// If they are not UTF-8.
pub fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let newlines = error.as_bytes()[..end].iter().filter(|it| **it == b'\n');
        Unreadable::NotText(newlines.count() + 1)
    })
}

/// Opens without waiting. Checks the kind of file before, because opening a device may have an effect, and returns the
/// metadata of what was opened, which may be another file.
fn open(path: &Path) -> Result<(File, Metadata), Unreadable> {
    let metadata = path.metadata()?;
    let kind = metadata.file_type();
    if !(kind.is_file() || kind.is_fifo() || kind.is_dir() || is_null(&metadata)) {
        return Err(Unreadable::NotAFile(
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

/// The kind of anything but a regular file.
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

/// Whether it is `/dev/null`, device 1:3, under any name.
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(1, 3)
}

/// Reads until all writers have closed the pipe.
fn pipe(mut file: &File, limit: u64, patience: Duration) -> Result<Vec<u8>, Unreadable> {
    let until = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        // Before the first writer opens the pipe, a read would return its end.
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut polled, timeout) {
            Ok(0) => return Err(Unreadable::TimedOut(patience)),
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

    /// A directory that is removed after the test.
    struct Directory(std::path::PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("partymeter-input-{name}-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory).unwrap();
            Self(directory)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_file_behind_links_is_read_up_to_the_limit() {
        let directory = Directory::new("links");
        let (path, link) = (directory.0.join("file"), directory.0.join("link"));
        std::fs::write(&path, [b'x'; 1000]).unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(file(&link, 1000).unwrap().len(), 1000);
        let refused = file(&link, 999).unwrap_err();
        assert_eq!(refused.to_string(), "is larger than 999 bytes");
        let refused = file(Path::new("/proc/self/environ"), 0).unwrap_err();
        assert!(
            matches!(refused, Unreadable::TooLarge(0)),
            "the limit holds where the file system reports no size: {refused}"
        );
    }

    #[test]
    fn anything_but_a_file_is_refused_at_once() {
        let directory = Directory::new("kinds");
        let fifo = directory.0.join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let said = |path: &Path| file(path, LARGEST).unwrap_err().to_string();
        assert_eq!(said(&fifo), "is a FIFO, not a regular file");
        assert_eq!(said(&directory.0), "is a directory, not a regular file");
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
    fn a_pipe_is_read_to_its_end_within_a_limit_of_time() {
        let directory = Directory::new("pipe");
        let fifo = directory.0.join("fifo");
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
                    // The reader closes the pipe at the limit.
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
    fn an_error_of_utf_8_has_its_line() {
        let refused = text(b"a\nb\n\xff".to_vec()).unwrap_err();
        assert_eq!(refused.to_string(), "is not UTF-8 text (line 3)");
        assert_eq!(text(b"caf\xc3\xa9".to_vec()).unwrap(), "café");
    }
}
