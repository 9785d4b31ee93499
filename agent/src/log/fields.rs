//! What a message says, apart from its form.

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
    /// The sentence.
    pub message: String,
    /// Everything else, in the order in which it was written.
    pub others: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, or what is shown as such.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other.
    Real(f64),
    /// Yes or no.
    Bool(bool),
}

/// Where an event comes from; what comes by way of `log` says so in fields of its own.
pub fn metadata(event: &Event<'_>) -> (Level, String) {
    let normal = event.normalized_metadata();
    let metadata = normal.as_ref().unwrap_or_else(|| event.metadata());
    (*metadata.level(), metadata.target().to_owned())
}

impl Fields {
    /// Of an event.
    pub fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            // What comes by way of `log` carries these for its own use.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bool(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Real(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value =
            i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer);
        self.add(field, value);
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                write!(f, "{text:?}")
            }
            // A line stays one, and in its order: whoever reads it must be able to trust where it ends.
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
