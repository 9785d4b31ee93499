//! Errors of a configuration: one line each, with where it is, what is wrong and what would be right.

use std::fmt;

use crate::{finding::HELP, text::printable_to};

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidValue {
    pub(super) what: String,
    pub(super) help: String,
}

pub(super) fn invalid(what: impl Into<String>, help: impl Into<String>) -> InvalidValue {
    InvalidValue {
        what: what.into(),
        help: help.into(),
    }
}

/// On one line, without a location.
impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{HELP}{}", self.what, self.help)
    }
}

/// One error in what the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line, flag, or variable; may be empty.
    pub location: String,
    /// The key, as in the file; empty if the error is about the whole file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub help: String,
    /// How many errors this one stands for: 1, or all that are not listed.
    pub count: usize,
}

impl ConfigError {
    /// Why a valid configuration cannot be applied while the agent runs.
    pub(crate) fn needs_restart(key: &str, what: impl Into<String>) -> Self {
        Self::new(String::new(), key, invalid(what, "restart the agent"))
    }

    pub(super) fn new(location: String, key: &str, value: InvalidValue) -> Self {
        Self {
            location,
            key: key.to_owned(),
            what: value.what,
            help: value.help,
            count: 1,
        }
    }
}

/// The longest part of a [`ConfigError`] that is shown. Unit: characters.
const LONGEST: usize = 1024;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The file may be somebody else's: what is shown of it must not move the cursor or fill the log.
        let [location, key, what, help] =
            [&self.location, &self.key, &self.what, &self.help].map(|text| {
                if text.is_empty() {
                    String::new()
                } else {
                    printable_to(text, LONGEST)
                }
            });
        if !location.is_empty() {
            write!(f, "{location}: ")?;
        }
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{what}{HELP}{help}")
    }
}
