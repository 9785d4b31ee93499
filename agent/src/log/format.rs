//! The two forms of a line: for people, and a JSON object for machines.

use std::fmt;

use serde_json::{Map, Value as Json_, json};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::{Fields, Value, metadata, span_context};
use crate::{config::Config, text::visible};

/// `2026-11-24T02:26:21.123456Z  WARN a sentence key=value`
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
        // One line for a message, whatever is in it.
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

/// One JSON object: `timestamp`, `level`, `target`, `message`, then whose line it is, then the fields of the message.
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
        let mut add = |name: &str, value: Json_| drop(line.insert(name.to_owned(), value));
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
                Value::Text(text) => text.into(),
                Value::Integer(value) => value.into(),
                Value::Real(value) => json!(value),
                Value::Bool(value) => value.into(),
            };
            add(name, value);
        }
        writeln!(out, "{}", Json_::Object(line))
    }
}
