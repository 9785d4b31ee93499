//! A segment: the file that whole lines are appended to.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Instant,
};

use super::files;

/// The file that is written to.
pub(super) struct Segment {
    file: File,
    pub(super) path: PathBuf,
    pub(super) begun: Instant,
    /// The length of its whole lines, where the next write goes. Unit: bytes.
    pub(super) length: u64,
}

impl Segment {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: files::create(path)?,
            path: path.to_owned(),
            begun: Instant::now(),
            length: 0,
        })
    }

    /// Appends lines. Returns how many bytes of whole lines were written, and why not all.
    pub(super) fn append(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let (done, outcome) = write_at(&self.file, lines, self.length);
        let whole = match outcome {
            Ok(()) => done,
            Err(_) => whole_lines(&lines[..done], done),
        };
        self.length += whole as u64;
        if outcome.is_err() {
            // If this fails too, the next write overwrites what is left of the line.
            drop(self.file.set_len(self.length));
        }
        (whole, outcome)
    }

    /// Whether the file was removed: what is written to it then is lost.
    pub(super) fn is_gone(&self) -> bool {
        self.file.metadata().is_ok_and(|data| data.nlink() == 0)
    }
}

/// Returns how many bytes were written, and why not all.
fn write_at(file: &File, bytes: &[u8], offset: u64) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return (done, Err(ErrorKind::WriteZero.into())),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// The length of the whole lines within the first `most` bytes.
pub(super) fn whole_lines(text: &[u8], most: usize) -> usize {
    let text = &text[..most.min(text.len())];
    let end = text.iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::files::tests::Directory, *};

    #[test]
    fn lines_are_whole() {
        assert_eq!(whole_lines(b"12\n345\n6", 100), 7);
        assert_eq!(whole_lines(b"12\n345\n6", 6), 3);
        assert_eq!(whole_lines(b"12\n345\n6", 2), 0);
    }

    #[test]
    fn what_is_left_of_a_line_is_written_over() {
        let directory = Directory::new("segment");
        let path = directory.0.join("it");
        let mut segment = Segment::create(&path).unwrap();
        let (written, outcome) = segment.append(b"one\n");
        assert_eq!((written, outcome.is_ok()), (4, true));
        // The start of a line that a failed write has left and could not cut off.
        segment.file.write_at(b"tw", 4).unwrap();
        let (written, outcome) = segment.append(b"two\n");
        assert_eq!((written, outcome.is_ok()), (4, true));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert!(!segment.is_gone());
        fs::remove_file(path).unwrap();
        assert!(segment.is_gone());
    }

    #[test]
    fn a_device_that_is_full_says_so() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let (done, outcome) = write_at(&full.unwrap(), b"one\n", 0);
        assert_eq!(done, 0);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
