//! The result of a check before the start: a line of `partymeter check`, and of the log of a start.

/// Separates what is wrong from what to do about it.
pub const HELP: &str = "; help: ";

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub what: &'static str,
    /// What was found, or what is wrong; in one line.
    pub result: Result<String, String>,
    /// Whether the agent works without it.
    pub optional: bool,
}

impl Finding {
    /// A check of something that the agent, or one of its sources, cannot work without.
    pub fn required(what: &'static str, result: Result<String, String>) -> Self {
        Self {
            what,
            result,
            optional: false,
        }
    }

    /// A check of something that the agent works without.
    pub fn optional(what: &'static str, result: Result<String, String>) -> Self {
        Self {
            what,
            result,
            optional: true,
        }
    }

    /// Whether the agent starts and all its sources work.
    pub fn is_fine(&self) -> bool {
        self.optional || self.result.is_ok()
    }
}

/// Adds help to a line, which may have some already.
pub fn or_else(line: &str, help: &str) -> String {
    if line.contains(HELP) {
        format!("{line}, or {help}")
    } else {
        format!("{line}{HELP}{help}")
    }
}

/// Adds help to a line that has none.
pub fn at_least(line: String, help: &str) -> String {
    if line.contains(HELP) {
        line
    } else {
        line + HELP + help
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
