//! JSON files, parsed into types so that every invalid value has its line.

use serde::{Deserialize, de::DeserializeOwned};

use super::{ImportError, host, host_and_port, import_error};
use crate::config::Host;

pub(super) fn parse<T: DeserializeOwned>(text: &str, help: &str) -> Result<T, ImportError> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let what = error.to_string();
        let what = what.strip_suffix(&place).unwrap_or(&what);
        let mut line = Some(error.line()).filter(|line| *line > 0);
        // The parser reports what `Address` and `HostPort` refuse at the next value, which may be on another line.
        if what.starts_with('"')
            && let Some(end) = what[1..].find('"')
        {
            let read: Vec<&str> = text.lines().take(error.line()).collect();
            line = line_of(&read.join("\n"), &what[..end + 2]).or(line);
        }
        import_error(line, what, help)
    })
}

/// The last line that contains these words.
pub(super) fn line_of(text: &str, words: &str) -> Option<usize> {
    let at = text.rfind(words)?;
    Some(text[..at].matches('\n').count() + 1)
}

/// An address or a host name.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Address(pub(super) Host);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        host(text.trim()).map(Self)
    }
}

/// `host:port`, also as a URL: `http://host:port`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HostPort(pub(super) Host, pub(super) u16);

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bare = text
            .split_once("://")
            .map_or(text.as_str(), |(_, rest)| rest);
        let (host, port) = host_and_port(bare.trim_end_matches('/'))?;
        Ok(Self(host, port))
    }
}
