//! The trace and span that a message belongs to.

use opentelemetry::trace::SpanContext;
use tracing_subscriber::registry::{LookupSpan, Scope};

/// The context of the innermost span that is traced. The layer that traces spans stores it in their extensions.
pub fn span_context<'a, R: LookupSpan<'a>>(mut spans: Scope<'a, R>) -> Option<SpanContext> {
    spans.find_map(|span| span.extensions().get::<SpanContext>().cloned())
}
