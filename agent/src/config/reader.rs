//! Collects the errors of a configuration, each with its line.

use super::error::{ConfigError, InvalidValue, invalid};

/// The text of a configuration file and the errors found so far.
pub(super) struct ConfigReader<'a> {
    /// What the file is called in errors.
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// Where the lines end.
    newlines: Vec<usize>,
    errors: Vec<ConfigError>,
    /// How many errors are not listed.
    unlisted: usize,
}

/// The most errors that are listed: nobody reads more.
const MOST_LISTED: usize = 100;

impl<'a> ConfigReader<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at).collect();
        Self {
            name,
            text,
            newlines,
            errors: Vec::new(),
            unlisted: 0,
        }
    }

    /// Every error, those over the limit as one.
    pub(super) fn into_errors(mut self) -> Vec<ConfigError> {
        if self.unlisted > 0 {
            let what = format!("has {} more errors", self.unlisted);
            let rest = invalid(what, "fix these first");
            self.errors.push(ConfigError {
                count: self.unlisted,
                ..ConfigError::new(self.name.to_owned(), "", rest)
            });
        }
        self.errors
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Name and line of a byte of the file.
    pub(super) fn location(&self, at: usize) -> String {
        let line = self.newlines.partition_point(|newline| *newline < at) + 1;
        format!("{}:{line}", self.name)
    }

    pub(super) fn report(&mut self, location: String, key: &str, value: InvalidValue) {
        self.add(ConfigError::new(location, key, value));
    }

    pub(super) fn add(&mut self, error: ConfigError) {
        // A value that several settings use is checked for each.
        if !self.skips_one() && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Whether the list is full; then counts one more error.
    pub(super) fn skips_one(&mut self) -> bool {
        let is_full = self.errors.len() >= MOST_LISTED;
        self.unlisted += usize::from(is_full);
        is_full
    }

    /// The value; `None` after reporting why there is none.
    pub(super) fn take<T>(
        &mut self,
        location: &str,
        key: &str,
        result: Result<T, InvalidValue>,
    ) -> Option<T> {
        result
            .map_err(|value| self.report(location.to_owned(), key, value))
            .ok()
    }
}
