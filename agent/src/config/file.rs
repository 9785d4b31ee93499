//! The configuration file as text: read at the start, when it may be a pipe, and again while the agent runs. A file system
//! may hang, so none of these functions may run on the thread that serves the metrics page.

use std::{io::ErrorKind, path::Path, time::Duration};

use super::{Config, ConfigError, HostEnv, Options, error::invalid, reader::ConfigReader};
use crate::input::{self, Unreadable};

/// How long the writer of a pipe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the configuration.
///
/// # Errors
/// Every error.
pub fn resolve(options: &Options, host: &HostEnv) -> Result<Config, Vec<ConfigError>> {
    let Some(path) = &options.file else {
        return ConfigReader::new("", "").resolve(options, host);
    };
    if path.as_os_str().is_empty() {
        let error = invalid("is empty", "name a file, or unset it");
        let location = "PARTYMETER_CONFIG".to_owned();
        return Err(vec![ConfigError::new(location, "", error)]);
    }
    let text = input::file_or_pipe(path, input::LARGEST, PATIENCE).and_then(input::text);
    let text = text.map_err(|error| vec![unreadable(path, &error)])?;
    read(&path.display().to_string(), &text, options, host)
}

/// As [`resolve`], of the text of a file; errors call it `name`.
///
/// # Errors
/// As [`resolve`].
pub fn read(
    name: &str,
    text: &str,
    options: &Options,
    host: &HostEnv,
) -> Result<Config, Vec<ConfigError>> {
    ConfigReader::new(name, text).resolve(options, host)
}

/// The text of a file that has been read before. A FIFO in its place is an error, and is not waited for.
///
/// # Errors
/// Why it cannot be read.
pub fn text_again(path: &Path) -> Result<String, ConfigError> {
    let text = input::file(path, input::LARGEST).and_then(input::text);
    text.map_err(|error| unreadable(path, &error))
}

/// The error of a file that was not read within that time.
pub fn not_answered(path: &Path, patience: Duration) -> ConfigError {
    let patience = humantime::format_duration(patience);
    let error = invalid(
        format!("cannot be read: no answer within {patience}"),
        "check whether its file system works",
    );
    ConfigError::new(path.display().to_string(), "", error)
}

fn unreadable(path: &Path, error: &Unreadable) -> ConfigError {
    let kind = match error {
        Unreadable::Failed(error) => Some(error.kind()),
        _ => None,
    };
    let help = match kind {
        Some(ErrorKind::NotFound) => "create it, or name another with --config",
        Some(ErrorKind::PermissionDenied) => "let this user read it",
        _ => "name a readable TOML file with --config",
    };
    let error = invalid(error.to_string(), help);
    ConfigError::new(path.display().to_string(), "", error)
}
