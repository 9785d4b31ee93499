//! Command lines as text: of a script, of a terminal, or of `/proc/PID/cmdline`.

/// The words of a text, each with its line. Words are separated by white space, NUL, quotes and the backslashes that join
/// lines.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let split = |c: char| c.is_whitespace() || matches!(c, '\0' | '"' | '\'' | '\\');
    (1..).zip(text.lines()).flat_map(move |(number, line)| {
        line.split(split)
            .filter(|word| !word.is_empty())
            .map(move |word| (number, word))
    })
}
