//! The section `[otlp]`, and the variables that OpenTelemetry defines for the same settings. A flag, a variable of the
//! agent and the file override those; a variable for one signal overrides the one for all signals.

mod parse;
mod section;
mod variables;

use std::{fmt, path::PathBuf, time::Duration};

use hyper::Uri;

pub use variables::variables;

/// Where to send what, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// The receiver of each signal, by [`Signal`]; `None`: it is not sent.
    pub receivers: [Option<Receiver>; Signal::ALL.len()],
    /// How often metrics are sent; 1 s or more.
    pub interval: Duration,
    /// What counters and histograms count from.
    pub temporality: Temporality,
    /// The form of histograms.
    pub histograms: Histograms,
    /// One in so many rounds is traced, besides those that fail or are slow; 0: only those.
    pub trace_rounds: u32,
    /// Whether every MPC connection that ends is a span.
    pub connection_spans: bool,
    /// Attributes of the resource; they override detected ones.
    pub resource: Vec<(String, String)>,
}

/// The kinds of data that OTLP sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
    /// Spans.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// As in paths and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

/// Where one signal goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// With HTTP the whole URL of the signal, with gRPC scheme and authority.
    pub endpoint: Uri,
    /// How requests are made.
    pub protocol: Protocol,
    /// Sent with each request.
    pub headers: Headers,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// Certificates to trust, instead of the system's.
    pub certificate: Option<PathBuf>,
    /// The client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf in the body of HTTP/1.1 or 2.
    Http,
}

/// Names and values of headers. Values may be secret, so `Debug` leaves them out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// What counters and histograms count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// From their beginning.
    Cumulative,
    /// From what was last accepted.
    Delta,
}

/// The form of histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Histograms {
    /// With the bounds of the metrics page.
    Explicit,
    /// With buckets of equal ratio, where the kernel's are fine enough.
    Exponential,
}

#[cfg(test)]
mod tests;
