//! The variables of OpenTelemetry.

use super::Signal;

/// A setting of each signal: its key in the file, and the end of its variables' names.
pub(super) struct Key(pub(super) &'static str, &'static str);

pub(super) const ENDPOINT: Key = Key("otlp.endpoint", "ENDPOINT");
pub(super) const PROTOCOL: Key = Key("otlp.protocol", "PROTOCOL");
pub(super) const HEADERS: Key = Key("otlp.headers", "HEADERS");
pub(super) const TIMEOUT: Key = Key("otlp.timeout", "TIMEOUT");
pub(super) const COMPRESSION: Key = Key("otlp.compression", "COMPRESSION");
pub(super) const CERTIFICATE: Key = Key("otlp.certificate", "CERTIFICATE");
pub(super) const CLIENT_CERTIFICATE: Key = Key("otlp.client_certificate", "CLIENT_CERTIFICATE");
pub(super) const CLIENT_KEY: Key = Key("otlp.client_key", "CLIENT_KEY");
const OF_EACH_SIGNAL: [Key; 8] = [
    ENDPOINT,
    PROTOCOL,
    HEADERS,
    TIMEOUT,
    COMPRESSION,
    CERTIFICATE,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
];

pub(super) const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
pub(super) const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
pub(super) const HISTOGRAMS: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
pub(super) const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub(super) const SERVICE: &str = "OTEL_SERVICE_NAME";
pub(super) const DISABLED: &str = "OTEL_SDK_DISABLED";

/// The variable that chooses the exporter of a signal: `otlp` or `none`.
pub(super) const fn exporter(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "OTEL_METRICS_EXPORTER",
        Signal::Logs => "OTEL_LOGS_EXPORTER",
        Signal::Traces => "OTEL_TRACES_EXPORTER",
    }
}

impl Key {
    /// The variables for a signal, the more specific first.
    pub(super) fn variables(&self, signal: Signal) -> [String; 2] {
        let specific = signal.name().to_uppercase();
        [
            format!("OTEL_EXPORTER_OTLP_{specific}_{}", self.1),
            format!("OTEL_EXPORTER_OTLP_{}", self.1),
        ]
    }
}

/// All variables of OpenTelemetry that the agent uses.
pub fn variables() -> impl Iterator<Item = String> {
    let of_signals = Signal::ALL.into_iter().flat_map(|signal| {
        let keys = OF_EACH_SIGNAL
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
