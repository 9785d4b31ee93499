//! Parsers for the values of OTLP. Pure.

use std::{ops::RangeInclusive, time::Duration};

use hyper::Uri;

use super::{Headers, Protocol, Signal};
use crate::config::{
    error::invalid,
    value::{Parsed, Value},
};

/// A duration, or as in the variables of OpenTelemetry a number of milliseconds.
pub(super) fn milliseconds(value: &Value<'_>, range: RangeInclusive<Duration>) -> Parsed<Duration> {
    match value {
        Value::Text(text) if text.parse::<u32>().is_ok() => {
            Value::Text(&format!("{text}ms")).duration(range)
        }
        _ => value.duration(range),
    }
}

pub(super) fn headers(value: &Value<'_>) -> Parsed<Headers> {
    pairs(value.text()?).map(Headers)
}

/// `name=value,…`, where values may have `%` escapes, as in W3C Baggage.
pub(super) fn pairs(text: &str) -> Parsed<Vec<(String, String)>> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let pair = |part: &str| {
        // The value may be secret: the error does not show it.
        let wrong = || {
            invalid(
                "has a part that is not name=value",
                "write name=value,name=value",
            )
        };
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let value = percent_encoding::percent_decode_str(value.trim());
        let value = value.decode_utf8().map_err(|_invalid| wrong())?;
        if name.trim().is_empty() {
            return Err(wrong());
        }
        Ok((name.trim().to_owned(), value.into_owned()))
    };
    parts.map(pair).collect()
}

/// The URL of a signal; `whole`: the text is it already.
pub(super) fn endpoint(text: &str, protocol: Protocol, signal: Signal, whole: bool) -> Parsed<Uri> {
    let example = match protocol {
        Protocol::Grpc => "http://collector:4317",
        Protocol::Http => "http://collector:4318",
    };
    let wrong = |what: &str| {
        invalid(
            format!("{text:?} {what}"),
            format!("write one like {example}, or https"),
        )
    };
    let uri: Uri = text.parse().map_err(|_invalid| wrong("is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("is neither http:// nor https://"));
    }
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(invalid("has a password in it", "give it in otlp.headers"));
    }
    let path = uri.path().trim_end_matches('/');
    match protocol {
        Protocol::Grpc if path.is_empty() => Ok(uri),
        Protocol::Grpc => Err(wrong("has a path, and gRPC has none")),
        Protocol::Http if whole => Ok(uri),
        Protocol::Http => {
            let authority = uri.authority().map_or("", |it| it.as_str());
            let scheme = uri.scheme_str().unwrap_or_default();
            let url = format!("{scheme}://{authority}{path}/v1/{}", signal.name());
            url.parse().map_err(|_invalid| wrong("is not a URL"))
        }
    }
}
