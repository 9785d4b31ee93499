//! Parts of OTLP messages that all metrics share: times, attributes, resource and scope.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};

use crate::export::otlp::resource::Attributes;

/// Nanoseconds since 1970. They overflow in 2554.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// An attribute with text as its value.
pub(super) fn text(name: &str, value: impl Into<String>) -> KeyValue {
    let value = Value::StringValue(value.into());
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// The resource of a message.
pub(super) fn resource(attributes: &Attributes) -> Resource {
    let attributes = attributes.iter().map(|(name, value)| text(name, value));
    Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    }
}

/// The agent, as the producer of the metrics.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
