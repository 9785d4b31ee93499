//! The text formats of the metrics page, and their negotiation.

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.
    Classic,
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>, version 1.0.0.
    OpenMetrics,
}

/// The precision of a media range, ordered as in RFC 9110, 12.5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Anything,
    Type,
    Subtype,
    Version,
}

impl Format {
    /// For the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Classic => ("text", "plain", "0.0.4"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }

    /// The format that the header `Accept` prefers. The classic format if it prefers neither, or accepts neither: a page that
    /// the client may be able to read helps more than none.
    pub fn negotiate(accept: &str) -> Self {
        let classic = Self::Classic.wanted(accept);
        match Self::OpenMetrics.wanted(accept) {
            // At equal quality, the more precise range wins.
            open @ (quality, _) if quality > 0.0 && open > classic => Self::OpenMetrics,
            _ => Self::Classic,
        }
    }

    /// The quality of the most precise range for this format, and its precision.
    fn wanted(self, accept: &str) -> (f64, Precision) {
        let ranges = accept.split(',').filter_map(|range| self.quality(range));
        let most_precise = ranges.max_by_key(|(precision, _)| *precision);
        most_precise.map_or((0.0, Precision::Anything), |(precision, quality)| {
            (quality, precision)
        })
    }

    fn quality(self, range: &str) -> Option<(Precision, f64)> {
        let (own_type, own_subtype, own_version) = self.parts();
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let is = |name: &str, own: &str| name.eq_ignore_ascii_case(own);
        let mut precision = match (kind, subtype) {
            ("*", "*") => Precision::Anything,
            (kind, "*") if is(kind, own_type) => Precision::Type,
            (kind, subtype) if is(kind, own_type) && is(subtype, own_subtype) => Precision::Subtype,
            _ => return None,
        };
        let mut quality = 1.0;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if is(name, "q") {
                // An invalid quality counts as 0.
                quality = value.parse().unwrap_or(0.0);
            } else if is(name, "version") {
                if value.trim_matches('"') != own_version {
                    return None;
                }
                precision = Precision::Version;
            }
        }
        Some((precision, quality))
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_preferred_format_is_chosen() {
        for open in [
            // Prometheus 3, Prometheus 2.
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
             version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=\"1.0.0\"",
            "application/openmetrics-text, */*",
            "application/*, text/*;q=0.5",
            "text/plain;version=1.0.0, application/openmetrics-text;q=0.1",
            "text/plain;q=0, */*",
        ] {
            assert_eq!(Format::negotiate(open), Format::OpenMetrics, "{open:?}");
        }
        for classic in [
            "",
            "*/*",
            "text/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "text/plain, application/openmetrics-text",
            "application/openmetrics-text;q=0.5, */*;q=0.8",
            "application/openmetrics-text;q=0.9, text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=much",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/json",
            ";;,/,*",
        ] {
            assert_eq!(Format::negotiate(classic), Format::Classic, "{classic:?}");
        }
    }
}
