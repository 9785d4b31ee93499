//! Which trace and span a message belongs to.

use opentelemetry::trace::SpanContext;
use tracing_subscriber::registry::{LookupSpan, Scope};

/// The innermost of these spans that belongs to a trace. Who traces a span keeps its context among its extensions.
pub fn span_context<'a, R: LookupSpan<'a>>(mut spans: Scope<'a, R>) -> Option<SpanContext> {
    spans.find_map(|span| span.extensions().get::<SpanContext>().cloned())
}
