//! The content of a message.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Level,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent as _;

use crate::text::visible;

/// The message and the fields of an event.
#[derive(Debug, Default)]
pub struct Fields {
    /// The message itself.
    pub message: String,
    /// The other fields, in the order of the call.
    pub others: Vec<(&'static str, LogValue)>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum LogValue {
    /// Text, or a value in its debug format.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A boolean.
    Bool(bool),
}

/// The level and target of an event. Events of the `log` crate have them in fields.
pub fn metadata(event: &Event<'_>) -> (Level, String) {
    let normal = event.normalized_metadata();
    let metadata = normal.as_ref().unwrap_or_else(|| event.metadata());
    (*metadata.level(), metadata.target().to_owned())
}

impl Fields {
    /// Reads an event.
    pub fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn add(&mut self, field: &Field, value: LogValue) {
        match (field.name(), value) {
            ("message", LogValue::Text(text)) => self.message = text,
            // Events of the `log` crate carry these for `metadata`.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, LogValue::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, LogValue::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, LogValue::Bool(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, LogValue::Real(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, LogValue::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value)
            .map_or_else(|_| LogValue::Text(value.to_string()), LogValue::Integer);
        self.add(field, value);
    }
}

impl fmt::Display for LogValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                write!(f, "{text:?}")
            }
            // Escaped, so that text from elsewhere can neither forge a line nor reorder one.
            Self::Text(text) => text
                .chars()
                .flat_map(visible)
                .try_for_each(|c| f.write_char(c)),
            Self::Integer(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}
