//! Reads a ledger line by line. The length of a line is bounded, because files from other parties are not trusted.

use std::io::{self, BufRead, Read as _};

/// The maximum length of a line. A connection with the longest names takes some 3 KiB. Unit: bytes.
pub(super) const MAX_LINE: usize = 8192;

/// Reads line by line.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

/// One line, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// A line that ends with a line feed.
    Whole(&'l [u8]),
    /// The file ends within the line.
    Torn(&'l [u8]),
    /// Longer than [`MAX_LINE`]; it is skipped.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
        }
    }

    /// The next line, or `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut bounded = self.reader.by_ref().take(MAX_LINE as u64 + 1);
        let count = bounded.read_until(b'\n', &mut self.line)?;
        if count == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Ok(Some(Line::Whole(&self.line)));
        }
        if count <= MAX_LINE {
            return Ok(Some(Line::Torn(&self.line)));
        }
        self.reader.skip_until(b'\n')?;
        Ok(Some(Line::TooLong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let long = "x".repeat(3 * MAX_LINE);
        let most = "y".repeat(MAX_LINE);
        let text = format!("one\n\n{long}\n{most}\ntwo\ntor");
        let mut lines = Lines::new(text.as_bytes());
        for expected in [
            Line::Whole(b"one"),
            Line::Whole(b""),
            Line::TooLong,
            Line::Whole(most.as_bytes()),
            Line::Whole(b"two"),
            Line::Torn(b"tor"),
        ] {
            assert_eq!(lines.next().unwrap(), Some(expected));
        }
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.next().unwrap(), None);
        let mut lines = Lines::new(long.as_bytes());
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().unwrap(), None);
    }
}
