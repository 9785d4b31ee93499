//! What was looked at before a start, and what came of it: lines of `partymeter check`, and of the log of a start.

/// What stands between what is wrong and the way out.
pub const HELP: &str = "; help: ";

/// One thing that was looked at: what was found, or what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The thing.
    pub what: &'static str,
    /// In one line for a person.
    pub result: Result<String, String>,
    /// Whether all else goes on if this does not.
    pub optional: bool,
}

impl Finding {
    /// Of something without which the agent does not start, or a source does not work.
    pub fn required(what: &'static str, result: Result<String, String>) -> Self {
        Self {
            what,
            result,
            optional: false,
        }
    }

    /// Of something that the agent goes without.
    pub fn optional(what: &'static str, result: Result<String, String>) -> Self {
        Self {
            what,
            result,
            optional: true,
        }
    }

    /// Whether the agent starts, and all its sources work, with this as it is.
    pub fn is_fine(&self) -> bool {
        self.optional || self.result.is_ok()
    }
}

/// Adds a way out to a line, which may have one already.
pub fn or_else(line: &str, way_out: &str) -> String {
    if line.contains(HELP) {
        format!("{line}, or {way_out}")
    } else {
        format!("{line}{HELP}{way_out}")
    }
}

/// Adds a way out to a line that has none.
pub fn at_least(line: String, way_out: &str) -> String {
    if line.contains(HELP) {
        line
    } else {
        line + HELP + way_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_one_help() {
        assert_eq!(or_else("a", "do b"), "a; help: do b");
        assert_eq!(or_else("a; help: do b", "do c"), "a; help: do b, or do c");
        assert_eq!(at_least("a".to_owned(), "do b"), "a; help: do b");
        assert_eq!(at_least("a; help: do b".to_owned(), "c"), "a; help: do b");
    }
}
