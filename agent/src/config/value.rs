//! Values as they are written, and parsers for those that are not addresses. Pure.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use toml::{Spanned, de::DeValue};

use super::{
    AdminSocket, Pin,
    error::{InvalidValue, invalid},
};
use crate::input::Size;

/// A value: text from a flag or variable, or TOML.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// As typed; lists with commas.
    Text(&'a str),
    /// From the file.
    Toml(&'a DeValue<'a>),
}

pub(super) type Parsed<T> = Result<T, InvalidValue>;

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Toml(DeValue::String(_)) => "a string",
            Self::Toml(DeValue::Integer(_)) => "an integer",
            Self::Toml(DeValue::Float(_)) => "a float",
            Self::Toml(DeValue::Boolean(_)) => "a boolean",
            Self::Toml(DeValue::Datetime(_)) => "a date",
            Self::Toml(DeValue::Array(_)) => "an array",
            Self::Toml(DeValue::Table(_)) => "a table",
        }
    }

    pub(super) fn not(&self, wanted: &str, example: &str) -> InvalidValue {
        invalid(
            format!("{} is not {wanted}", self.kind()),
            format!("write {example}"),
        )
    }

    pub(super) fn text(&self) -> Parsed<&str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(DeValue::String(text)) => Ok(text),
            Self::Toml(_) => Err(self.not("a string", "it in quotes")),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Parsed<u32> {
        let help = format!("give {} to {}", range.start(), range.end());
        let written = match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Toml(DeValue::Integer(value)) => value.to_string(),
            Self::Toml(_) => return Err(self.not("an integer", "it without quotes")),
        };
        match written
            .parse::<i64>()
            .ok()
            .and_then(|value| u32::try_from(value).ok())
        {
            Some(value) if range.contains(&value) => Ok(value),
            _ if written.parse::<i64>().is_ok() => {
                Err(invalid(format!("{written} is out of range"), help))
            }
            _ => Err(invalid(format!("{written:?} is not an integer"), help)),
        }
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Parsed<Duration> {
        let help = format!(
            "give {} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        let text = match self {
            Self::Toml(value) if !value.is_str() => {
                return Err(self.not("a duration", "\"1s\" or \"200ms\""));
            }
            _ => self.text()?,
        };
        match humantime::parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Ok(duration),
            Ok(_) => Err(invalid(format!("{text} is out of range"), help)),
            Err(_) => Err(invalid(
                format!("{text:?} is not a duration"),
                "write one like \"1s\" or \"200ms\"",
            )),
        }
    }

    /// A size with a unit. Unit of the result: bytes.
    pub(super) fn size(&self, range: RangeInclusive<ByteSize>) -> Parsed<u64> {
        let text = match self {
            Self::Toml(value) if !value.is_str() => {
                return Err(self.not("a size", "\"256MiB\" or \"1GiB\""));
            }
            _ => self.text()?,
        };
        match text.parse::<ByteSize>() {
            Ok(size) if range.contains(&size) => Ok(size.as_u64()),
            Ok(_) => Err(invalid(
                format!("{text} is out of range"),
                format!(
                    "give {} to {}",
                    Size(range.start().as_u64()),
                    Size(range.end().as_u64())
                ),
            )),
            Err(_) => Err(invalid(
                format!("{text:?} is not a size"),
                "write one like \"256MiB\" or \"1GiB\"",
            )),
        }
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Parsed<T> {
        let text = self.text()?;
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                invalid(
                    format!("{text:?} is not one of its values"),
                    format!("give {}", words.join(", ")),
                )
            })
    }

    /// The items of a list, each with its position in the file; a single value is a list of one.
    pub(super) fn list(&self) -> Vec<(Option<usize>, Value<'_>)> {
        match self {
            Self::Text(text) => text
                .split(',')
                .map(|part| (None, Value::Text(part.trim())))
                .collect(),
            Self::Toml(DeValue::Array(items)) => items
                .iter()
                .map(|item: &Spanned<DeValue<'_>>| {
                    (Some(item.span().start), Value::Toml(item.get_ref()))
                })
                .collect(),
            Self::Toml(value) => vec![(None, Value::Toml(value))],
        }
    }

    /// The length of [`Value::list`].
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.split(',').count(),
            Self::Toml(DeValue::Array(items)) => items.len(),
            Self::Toml(_) => 1,
        }
    }
}

pub(super) fn boolean(value: &Value<'_>) -> Parsed<bool> {
    match value {
        Value::Toml(DeValue::Boolean(boolean)) => Ok(*boolean),
        Value::Text("true") => Ok(true),
        Value::Text("false") => Ok(false),
        Value::Text(text) => Err(invalid(
            format!("{text:?} is not a boolean"),
            "write true or false",
        )),
        Value::Toml(_) => Err(value.not("a boolean", "true or false, without quotes")),
    }
}

pub(super) fn directory(value: &Value<'_>) -> Parsed<PathBuf> {
    match value.text()? {
        "" => Err(invalid("is empty", "leave it out or name a directory")),
        path => Ok(PathBuf::from(path)),
    }
}

/// A directory for pins; empty: none.
pub(super) fn pin(value: &Value<'_>) -> Parsed<Pin> {
    match value.text()? {
        "" => Ok(Pin::Nothing),
        path if path.starts_with('/') => Ok(Pin::At(PathBuf::from(path))),
        path => Err(invalid(
            format!("{path:?} is not an absolute path"),
            "name a directory in a BPF file system, such as /sys/fs/bpf/partymeter",
        )),
    }
}

/// The longest path of a Unix socket: `sockaddr_un.sun_path` without its terminating zero.
const SOCKET_PATH: usize = 107;

/// The path of a Unix socket; empty: none.
pub(super) fn admin_socket(value: &Value<'_>) -> Parsed<AdminSocket> {
    let text = value.text()?;
    let path = PathBuf::from(text);
    let help = "name a socket in a directory that only root can write to, such as /run/partymeter/admin.sock";
    if text.is_empty() {
        return Ok(AdminSocket::Off);
    }
    if !path.is_absolute() {
        return Err(invalid(format!("{text:?} is not an absolute path"), help));
    }
    if text.ends_with('/') || path.file_name().is_none() {
        return Err(invalid(format!("{text:?} names no file"), help));
    }
    if text.len() > SOCKET_PATH {
        let what = format!("is longer than the {SOCKET_PATH} bytes that a socket's path may have");
        return Err(invalid(what, help));
    }
    Ok(AdminSocket::At(path))
}

/// A group's name or number.
pub(super) fn group(value: &Value<'_>) -> Parsed<String> {
    let text = match value {
        Value::Toml(DeValue::Integer(number)) => number.to_string(),
        Value::Toml(toml) if !toml.is_str() => {
            return Err(value.not("a group", "\"wheel\" or 10"));
        }
        _ => value.text()?.to_owned(),
    };
    if text.is_empty() {
        return Err(invalid("is empty", "leave it out or name a group"));
    }
    Ok(text)
}

/// The value of a label: short, printable, and not reserved.
pub(super) fn label(text: &str, reserved: &[&str]) -> Result<String, InvalidValue> {
    let text = text.trim();
    if text.is_empty() {
        return Err(invalid("is empty", "give a name"));
    }
    if text.len() > 128 || text.chars().any(char::is_control) {
        return Err(invalid(
            format!("{text:?} is not a name"),
            "give up to 128 printable characters",
        ));
    }
    if reserved.contains(&text) {
        return Err(invalid(format!("{text:?} is reserved"), "give another"));
    }
    Ok(text.to_owned())
}
