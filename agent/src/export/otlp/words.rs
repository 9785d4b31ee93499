//! The smallest parts of messages.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};

/// Whose the names of attributes are: the version of the semantic conventions.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Nanoseconds since 1970, good until 2554.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// An attribute.
pub(super) fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// An attribute that is text.
pub(super) fn text(name: &str, value: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(value.into()))
}

/// An attribute that is a whole number.
pub(super) fn integer(name: &str, value: u64) -> KeyValue {
    attribute(
        name,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

/// Who has made the messages.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
