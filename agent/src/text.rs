//! Makes text from elsewhere (process names, paths, a server's reply, another party's file) safe to show in a log line, in a
//! label or on a terminal.

use std::fmt::Write as _;

/// The most characters that [`printable`] returns, without the `…`.
pub const LONGEST: usize = 256;

/// [`printable_to`] with the limit [`LONGEST`].
pub fn printable(text: impl AsRef<[u8]>) -> String {
    printable_to(text, LONGEST)
}

/// One character as [`printable`] shows it.
pub fn visible(character: char) -> impl Iterator<Item = char> {
    let plain = matches!(character, '\'' | '"' | '\\').then_some(character);
    let escaped = plain.is_none().then(|| character.escape_debug());
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Text on one line in which every character is visible and in its place.
///
/// Bytes that are not UTF-8 become `\xNN`. Control characters, line separators, bidirectional, zero-width and combining
/// characters become `\n`, `\u{202e}` and the like. All else stays, including quotes and backslashes, so that doing it twice
/// changes nothing. Text longer than `longest` characters ends with `…`; empty text becomes `(empty)`.
pub fn printable_to(text: impl AsRef<[u8]>, longest: usize) -> String {
    let text = text.as_ref();
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(longest));
    let mut room = longest;
    // An escape is not cut in half.
    let mut add = |piece: &str, shown: &mut String| {
        let length = piece.chars().count();
        let fits = length <= room;
        if fits {
            room -= length;
            shown.push_str(piece);
        } else {
            shown.push('…');
        }
        fits
    };
    let mut piece = String::new();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            piece.clear();
            piece.extend(visible(character));
            if !add(&piece, &mut shown) {
                return shown;
            }
        }
        for byte in chunk.invalid() {
            piece.clear();
            // Writing to a string does not fail.
            let _ = write!(piece, "\\x{byte:02x}");
            if !add(&piece, &mut shown) {
                return shown;
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_characters_stay() {
        for text in ["python3", "é 漢字 😀", r#"it's a "C:\path""#, "Ω≈ç√"] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn deceptive_characters_are_escaped() {
        for (text, shown) in [
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\u{1b}[31mred\u{7}\u{9b}", r"\u{1b}[31mred\u{7}\u{9b}"),
            ("\u{7f}\0", r"\u{7f}\0"),
            (
                "\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}",
                r"\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}",
            ),
            (
                "a\u{200b}b\u{200d}\u{2060}\u{feff}\u{ad}",
                r"a\u{200b}b\u{200d}\u{2060}\u{feff}\u{ad}",
            ),
            ("\u{2028}\u{2029}\u{a0}", r"\u{2028}\u{2029}\u{a0}"),
            ("\u{fe0f}\u{e0041}\u{fff9}", r"\u{fe0f}\u{e0041}\u{fff9}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_shown() {
        assert_eq!(printable([0xff, b'a', 0xc3]), r"\xffa\xc3");
        assert_eq!(printable(b"\xe2\x80\xae".as_slice()), r"\u{202e}");
        assert_eq!(printable(b"\xf0\x9f\x92".as_slice()), r"\xf0\x9f\x92");
        assert_eq!(printable(""), "(empty)");
    }

    #[test]
    fn the_length_is_bounded_and_no_escape_is_cut() {
        let long = "x".repeat(LONGEST);
        assert_eq!(printable(&long), long);
        assert_eq!(printable(long.clone() + "y"), long.clone() + "…");
        assert_eq!(printable_to("abc\u{1b}d", 5), "abc…");
        assert_eq!(printable_to(vec![0xff; 1 << 20], 8), r"\xff\xff…");
    }

    #[test]
    fn twice_is_once() {
        let text = b"a\xff\n\xe2\x80\xae".repeat(100);
        let once = printable_to(&text, 40);
        assert_eq!(printable(&once), once);
    }
}
