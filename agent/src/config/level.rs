//! Levels of the log by name.

use tracing::Level;

use super::{error::InvalidValue, value::Value};

/// The names; `None` logs nothing.
pub const LEVELS: [(&str, Option<Level>); 6] = [
    ("off", None),
    ("error", Some(Level::ERROR)),
    ("warn", Some(Level::WARN)),
    ("info", Some(Level::INFO)),
    ("debug", Some(Level::DEBUG)),
    ("trace", Some(Level::TRACE)),
];

pub(super) fn level(value: &Value<'_>) -> Result<Option<Level>, InvalidValue> {
    value.choice(&LEVELS)
}

/// The level of that name.
///
/// # Errors
/// In one line, which names there are.
pub fn level_named(name: &str) -> Result<Option<Level>, String> {
    level(&Value::Text(name)).map_err(|invalid| invalid.to_string())
}

/// The name of a level.
pub fn level_name(level: Option<Level>) -> &'static str {
    let named = LEVELS.iter().find(|(_, it)| *it == level);
    named.map_or("", |(name, _)| name)
}
