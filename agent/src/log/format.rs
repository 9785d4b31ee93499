//! The two formats of a line: text and JSON.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::{Fields, LogValue, metadata, span_context};
use crate::{config::Config, text::visible};

/// `2026-11-24T02:26:21.123456Z  WARN a message key=value`
pub(super) struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Fields { message, others } = Fields::of(event);
        let (level, _) = metadata(event);
        let (dim, color, plain) = if out.has_ansi_escapes() {
            ("\x1b[2m", color(level), "\x1b[0m")
        } else {
            ("", "", "")
        };
        write!(out, "{dim}")?;
        SystemTime.format_time(&mut out)?;
        // A message is always one line.
        let message = message.replace(['\n', '\r'], " ");
        let message: String = message.chars().flat_map(visible).collect();
        write!(out, "{plain} {color}{level:>5}{plain} {message}")?;
        for (name, value) in others {
            write!(out, " {dim}{name}{plain}={value}")?;
        }
        writeln!(out)
    }
}

const fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// One JSON object: `timestamp`, `level`, `target`, `message`, the node and party, the trace, then the other fields.
pub(super) struct Json {
    node: String,
    party: Option<String>,
}

impl Json {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            node: config.node.clone(),
            party: config.party_id.clone(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Fields { message, others } = Fields::of(event);
        let (level, target) = metadata(event);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Map::new();
        let mut add = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        add("timestamp", time.into());
        add("level", level.as_str().into());
        add("target", target.into());
        add("message", message.into());
        add("node", self.node.as_str().into());
        if let Some(party) = &self.party {
            add("mpc.party_id", party.as_str().into());
        }
        if let Some(span) = context.event_scope().and_then(span_context) {
            add("trace_id", span.trace_id().to_string().into());
            add("span_id", span.span_id().to_string().into());
        }
        for (name, value) in others {
            let value = match value {
                LogValue::Text(text) => text.into(),
                LogValue::Integer(value) => value.into(),
                LogValue::Real(value) => json!(value),
                LogValue::Bool(value) => value.into(),
            };
            add(name, value);
        }
        writeln!(out, "{}", Value::Object(line))
    }
}
