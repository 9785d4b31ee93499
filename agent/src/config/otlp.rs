//! The section `[otlp]`, and the variables that OpenTelemetry defines for the same: a flag, a variable of ours or the
//! file goes over those, and those of one signal over those of all.

use std::{fmt, path::PathBuf, time::Duration};

use hyper::Uri;

use super::{
    limits::SIGNALS,
    resolve::Values,
    value::{Fault, Value, boolean, fault},
};

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
    /// One in how many rounds is traced, beside those that fail or are slow; 0: only those.
    pub trace_rounds: u32,
    /// Whether every MPC connection that ends is a span.
    pub connection_spans: bool,
    /// Attributes of the resource, over those that are found out.
    pub resource: Vec<(String, String)>,
}

/// What OTLP tells apart.
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
    /// By which way.
    pub protocol: Protocol,
    /// Sent with each request.
    pub headers: Headers,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// Certificates to trust, instead of the system's.
    pub certificate: Option<PathBuf>,
    /// The certificate and the key to prove who this is.
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

/// Names and values of headers; they may be secret, so that they are not shown.
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

/// A value of one signal: its key in the file, and the end of its variables' names.
struct Key(&'static str, &'static str);

const ENDPOINT: Key = Key("otlp.endpoint", "ENDPOINT");
const PROTOCOL: Key = Key("otlp.protocol", "PROTOCOL");
const HEADERS: Key = Key("otlp.headers", "HEADERS");
const TIMEOUT: Key = Key("otlp.timeout", "TIMEOUT");
const COMPRESSION: Key = Key("otlp.compression", "COMPRESSION");
const CERTIFICATE: Key = Key("otlp.certificate", "CERTIFICATE");
const CLIENT_CERTIFICATE: Key = Key("otlp.client_certificate", "CLIENT_CERTIFICATE");
const CLIENT_KEY: Key = Key("otlp.client_key", "CLIENT_KEY");
const OF_A_SIGNAL: [Key; 8] = [
    ENDPOINT,
    PROTOCOL,
    HEADERS,
    TIMEOUT,
    COMPRESSION,
    CERTIFICATE,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
];

const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const HISTOGRAMS: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Which exporter a signal has: `otlp` or `none`.
const fn exporter(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "OTEL_METRICS_EXPORTER",
        Signal::Logs => "OTEL_LOGS_EXPORTER",
        Signal::Traces => "OTEL_TRACES_EXPORTER",
    }
}

impl Key {
    /// The variables for a signal, the more special first.
    fn variables(&self, signal: Signal) -> [String; 2] {
        let special = signal.name().to_uppercase();
        [
            format!("OTEL_EXPORTER_OTLP_{special}_{}", self.1),
            format!("OTEL_EXPORTER_OTLP_{}", self.1),
        ]
    }
}

/// All variables of OpenTelemetry that mean something here.
pub fn variables() -> impl Iterator<Item = String> {
    let of_signals = Signal::ALL.into_iter().flat_map(|signal| {
        let keys = OF_A_SIGNAL
            .iter()
            .flat_map(move |key| key.variables(signal));
        keys.chain([exporter(signal).to_owned()])
    });
    let others = [
        INTERVAL,
        TEMPORALITY,
        HISTOGRAMS,
        RESOURCE,
        SERVICE,
        DISABLED,
    ];
    of_signals.chain(others.map(str::to_owned))
}

impl Values<'_, '_, '_> {
    /// The section `otlp`; `None` after a problem.
    pub(super) fn otlp(&mut self) -> Option<Otlp> {
        let interval = self.other("otlp.interval", INTERVAL, |value| {
            let range = Duration::from_secs(1)..=Duration::from_hours(1);
            milliseconds(value, range)
        });
        let temporality = self.other("otlp.temporality", TEMPORALITY, |value| {
            value.choice(&[
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                // What it asks for of other instruments is here always so.
                ("lowmemory", Temporality::Delta),
            ])
        });
        let histograms = self.other("otlp.histograms", HISTOGRAMS, |value| {
            value.choice(&[
                ("explicit", Histograms::Explicit),
                ("exponential", Histograms::Exponential),
                ("explicit_bucket_histogram", Histograms::Explicit),
                (
                    "base2_exponential_bucket_histogram",
                    Histograms::Exponential,
                ),
            ])
        });
        let trace_rounds = self.get("otlp.trace_rounds", |value| value.integer(0..=1_000_000));
        let connection_spans = self.get("otlp.connection_spans", boolean);
        // What the key says goes over the variable, attribute by attribute.
        let mut resource = Vec::new();
        if let Some((place, text)) = self.standard(RESOURCE) {
            resource.extend(self.take(&place, "", pairs(&text)).unwrap_or_default());
        }
        if let Some((_, name)) = self.standard(SERVICE) {
            resource.push(("service.name".to_owned(), name));
        }
        let written = self.get("otlp.resource", |value| pairs(value.text()?));
        resource.extend(written.unwrap_or_default());
        let disabled = match self.standard(DISABLED) {
            Some((_, text)) => text.eq_ignore_ascii_case("true"),
            None => false,
        };
        let receivers = Signal::ALL.map(|signal| self.receiver(signal));
        let wanted = Signal::ALL.map(|signal| self.is_wanted(signal));
        let mut chosen = [const { None }; Signal::ALL.len()];
        for ((chosen, receiver), wanted) in chosen.iter_mut().zip(receivers).zip(wanted) {
            // `None` inside: nowhere to send it to. The outer one has been reported.
            let receiver = receiver?;
            *chosen = receiver.filter(|_| wanted && !disabled);
        }
        Some(Otlp {
            receivers: chosen,
            interval: interval?,
            temporality: temporality?,
            histograms: histograms?,
            trace_rounds: trace_rounds?,
            connection_spans: connection_spans?,
            resource,
        })
    }

    /// Whether the signal is to be sent, if there is somewhere to.
    fn is_wanted(&mut self, signal: Signal) -> bool {
        if !self.is_written("otlp.signals")
            && let Some((place, text)) = self.standard(exporter(signal))
        {
            let choice = Value::Text(&text).choice(&[("otlp", true), ("none", false)]);
            return self.take(&place, "", choice).unwrap_or(false);
        }
        let words = Signal::ALL.map(|signal| (signal.name(), signal));
        let signals = self.list("otlp.signals", SIGNALS, |value| value.choice(&words));
        signals.contains(&signal)
    }

    /// Where a signal goes; the outer `None` after a problem.
    #[expect(
        clippy::option_option,
        reason = "what is wrong and what is off are two things"
    )]
    fn receiver(&mut self, signal: Signal) -> Option<Option<Receiver>> {
        let protocol = self.of(signal, &PROTOCOL, |value| {
            value.choice(&[("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)])
        });
        let headers = self.of(signal, &HEADERS, |value| pairs(value.text()?).map(Headers));
        let timeout = self.of(signal, &TIMEOUT, |value| {
            milliseconds(value, Duration::from_millis(1)..=Duration::from_mins(10))
        });
        let gzip = self.of(signal, &COMPRESSION, |value| {
            value.choice(&[("gzip", true), ("none", false)])
        });
        let file = |value: &Value<'_>| {
            Ok(Some(value.text()?)
                .filter(|it| !it.is_empty())
                .map(PathBuf::from))
        };
        let certificate = self.of(signal, &CERTIFICATE, file);
        let client_certificate = self.of(signal, &CLIENT_CERTIFICATE, file);
        let client_key = self.of(signal, &CLIENT_KEY, file);
        let client = match (client_certificate?, client_key?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (certificate, _) => {
                let (has, lacks) = match certificate {
                    Some(_) => (CLIENT_CERTIFICATE.0, CLIENT_KEY.0),
                    None => (CLIENT_KEY.0, CLIENT_CERTIFICATE.0),
                };
                let fault = fault(format!("is given without {lacks}"), "give both or none");
                self.take::<()>("", has, Err(fault));
                return None;
            }
        };
        let Some((place, text, whole)) = self.endpoint(signal) else {
            return Some(None);
        };
        let endpoint = endpoint(&text, protocol?, signal, whole);
        let endpoint = self.take(&place, ENDPOINT.0, endpoint);
        Some(Some(Receiver {
            endpoint: endpoint?,
            protocol: protocol?,
            headers: headers?,
            timeout: timeout?,
            gzip: gzip?,
            certificate: certificate?,
            client,
        }))
    }

    /// The endpoint as written, and whether it is the whole URL of this signal.
    fn endpoint(&mut self, signal: Signal) -> Option<(String, String, bool)> {
        if self.is_written(ENDPOINT.0) {
            let place = self.find(ENDPOINT.0).map(|(place, _)| place);
            let text = self.get(ENDPOINT.0, |value| value.text().map(str::to_owned));
            return Some((place?, text?, false));
        }
        let [special, general] = ENDPOINT.variables(signal);
        if let Some((place, text)) = self.standard(&special) {
            return Some((place, text, true));
        }
        let (place, text) = self.standard(&general)?;
        Some((place, text, false))
    }

    /// A value of a signal, from wherever it is given.
    fn of<T>(
        &mut self,
        signal: Signal,
        key: &Key,
        parse: impl Fn(&Value<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        if !self.is_written(key.0) {
            for variable in key.variables(signal) {
                if let Some((place, text)) = self.standard(&variable) {
                    return self.take(&place, "", parse(&Value::Text(&text)));
                }
            }
        }
        self.get(key.0, parse)
    }

    /// A value that has one variable.
    fn other<T>(
        &mut self,
        key: &str,
        variable: &str,
        parse: impl Fn(&Value<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        match self.standard(variable) {
            Some((place, text)) if !self.is_written(key) => {
                self.take(&place, "", parse(&Value::Text(&text)))
            }
            _ => self.get(key, parse),
        }
    }
}

/// A duration; in the variables of OpenTelemetry a number of milliseconds.
fn milliseconds(
    value: &Value<'_>,
    range: std::ops::RangeInclusive<Duration>,
) -> Result<Duration, Fault> {
    match value {
        Value::Text(text) if text.parse::<u32>().is_ok() => {
            Value::Text(&format!("{text}ms")).duration(range)
        }
        _ => value.duration(range),
    }
}

/// `name=value,…`, where values may have `%` escapes, as in W3C Baggage.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let pair = |part: &str| {
        // The value may be secret: it is not repeated.
        let wrong = || {
            fault(
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

fn endpoint(text: &str, protocol: Protocol, signal: Signal, whole: bool) -> Result<Uri, Fault> {
    let example = match protocol {
        Protocol::Grpc => "http://collector:4317",
        Protocol::Http => "http://collector:4318",
    };
    let wrong = |what: &str| {
        fault(
            format!("{text:?} {what}"),
            format!("write one like {example}, or https"),
        )
    };
    let uri: Uri = text.parse().map_err(|_invalid| wrong("is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("is neither http:// nor https://"));
    }
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(fault("has a password in it", "give it in otlp.headers"));
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
            url.parse().map_err(|_invalid| wrong("is no URL"))
        }
    }
}

#[cfg(test)]
mod tests;
