//! The configuration file as text: read at the start, when it may be a pipe, and again while the agent runs. None of
//! these is for the thread that serves the page: a file system may not answer.

use std::{io::ErrorKind, path::Path, time::Duration};

use super::{Config, Options, Problem, Surroundings, resolve::Reader, value::fault};
use crate::input::{self, Unreadable};

/// How long a pipe may take that is given as the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the configuration.
///
/// # Errors
/// Everything that is wrong, each with its place and mend.
pub fn resolve(options: &Options, around: &Surroundings) -> Result<Config, Vec<Problem>> {
    let Some(path) = &options.file else {
        return Reader::new("", "").resolve(options, around);
    };
    if path.as_os_str().is_empty() {
        let fault = fault("is empty", "name a file, or unset it");
        let place = "PARTYMETER_CONFIG".to_owned();
        return Err(vec![Problem::new(place, "", fault)]);
    }
    let text = input::file_or_pipe(path, input::LARGEST, PATIENCE).and_then(input::text);
    let text = text.map_err(|error| vec![unreadable(path, &error)])?;
    read(&path.display().to_string(), &text, options, around)
}

/// As [`resolve`], of a file's text that has been read; `name` is what its lines are told by.
///
/// # Errors
/// As [`resolve`].
pub fn read(
    name: &str,
    text: &str,
    options: &Options,
    around: &Surroundings,
) -> Result<Config, Vec<Problem>> {
    Reader::new(name, text).resolve(options, around)
}

/// The text of a file that is read again. A FIFO in its place is an error, and is not waited for.
///
/// # Errors
/// Why it cannot be read.
pub fn text_again(path: &Path) -> Result<String, Problem> {
    let text = input::file(path, input::LARGEST).and_then(input::text);
    text.map_err(|error| unreadable(path, &error))
}

/// A file that has not been read within that time.
pub fn not_answered(path: &Path, patience: Duration) -> Problem {
    let patience = humantime::format_duration(patience);
    let fault = fault(
        format!("cannot be read: no answer within {patience}"),
        "see whether its file system works",
    );
    Problem::new(path.display().to_string(), "", fault)
}

fn unreadable(path: &Path, error: &Unreadable) -> Problem {
    let kind = match error {
        Unreadable::Failed(error) => Some(error.kind()),
        _ => None,
    };
    let mend = match kind {
        Some(ErrorKind::NotFound) => "create it, or name another with --config",
        Some(ErrorKind::PermissionDenied) => "let this user read it",
        _ => "name a readable TOML file with --config",
    };
    let fault = fault(error.to_string(), mend);
    Problem::new(path.display().to_string(), "", fault)
}
