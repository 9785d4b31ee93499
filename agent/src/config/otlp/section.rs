//! Reads the settings of OTLP; `None` stands for an error, which has been reported.

use std::{path::PathBuf, time::Duration};

use super::{
    Histograms, Otlp, Protocol, Receiver, Signal, Temporality,
    parse::{endpoint, headers, milliseconds, pairs},
    variables::{
        CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY, COMPRESSION, DISABLED, ENDPOINT, HEADERS,
        HISTOGRAMS, INTERVAL, Key, PROTOCOL, RESOURCE, SERVICE, TEMPORALITY, TIMEOUT, exporter,
    },
};
use crate::config::{
    error::{InvalidValue, invalid},
    limits::SIGNALS,
    value::{Value, boolean},
    values::Values,
};

impl Values<'_, '_, '_> {
    pub(in crate::config) fn otlp(&mut self) -> Option<Otlp> {
        let interval = self.with_variable("otlp.interval", INTERVAL, |value| {
            let range = Duration::from_secs(1)..=Duration::from_hours(1);
            milliseconds(value, range)
        });
        let temporality = self.with_variable("otlp.temporality", TEMPORALITY, |value| {
            value.choice(&[
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                // It asks for delta counters and cumulative gauges; gauges have no temporality here.
                ("lowmemory", Temporality::Delta),
            ])
        });
        let histograms = self.with_variable("otlp.histograms", HISTOGRAMS, |value| {
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
        // The key overrides the variables, attribute by attribute.
        let mut resource = Vec::new();
        if let Some((location, text)) = self.otel_variable(RESOURCE) {
            resource.extend(self.take(&location, "", pairs(&text)).unwrap_or_default());
        }
        if let Some((_, name)) = self.otel_variable(SERVICE) {
            resource.push(("service.name".to_owned(), name));
        }
        let written = self.get("otlp.resource", |value| pairs(value.text()?));
        resource.extend(written.unwrap_or_default());
        let disabled = match self.otel_variable(DISABLED) {
            Some((_, text)) => text.eq_ignore_ascii_case("true"),
            None => false,
        };
        let receivers = Signal::ALL.map(|signal| self.receiver(signal));
        let wanted = Signal::ALL.map(|signal| self.is_wanted(signal));
        let mut chosen = [const { None }; Signal::ALL.len()];
        for ((chosen, receiver), wanted) in chosen.iter_mut().zip(receivers).zip(wanted) {
            // The inner `None`: nowhere to send it to.
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

    /// Whether the signal is sent if it has an endpoint.
    fn is_wanted(&mut self, signal: Signal) -> bool {
        if !self.is_set("otlp.signals")
            && let Some((location, text)) = self.otel_variable(exporter(signal))
        {
            let choice = Value::Text(&text).choice(&[("otlp", true), ("none", false)]);
            return self.take(&location, "", choice).unwrap_or(false);
        }
        let words = Signal::ALL.map(|signal| (signal.name(), signal));
        let signals = self.list("otlp.signals", SIGNALS, |value| value.choice(&words));
        signals.contains(&signal)
    }

    /// The receiver of a signal; the inner `None`: it has no endpoint.
    #[expect(
        clippy::option_option,
        reason = "what is wrong and what is off are two things"
    )]
    fn receiver(&mut self, signal: Signal) -> Option<Option<Receiver>> {
        let protocol = self.for_signal(signal, &PROTOCOL, |value| {
            value.choice(&[("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)])
        });
        let headers = self.for_signal(signal, &HEADERS, headers);
        let timeout = self.for_signal(signal, &TIMEOUT, |value| {
            milliseconds(value, Duration::from_millis(1)..=Duration::from_mins(10))
        });
        let gzip = self.for_signal(signal, &COMPRESSION, |value| {
            value.choice(&[("gzip", true), ("none", false)])
        });
        let file = |value: &Value<'_>| {
            Ok(Some(value.text()?)
                .filter(|it| !it.is_empty())
                .map(PathBuf::from))
        };
        let certificate = self.for_signal(signal, &CERTIFICATE, file);
        let client_certificate = self.for_signal(signal, &CLIENT_CERTIFICATE, file);
        let client_key = self.for_signal(signal, &CLIENT_KEY, file);
        let client = match (client_certificate?, client_key?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (certificate, _) => {
                let (has, lacks) = match certificate {
                    Some(_) => (CLIENT_CERTIFICATE.0, CLIENT_KEY.0),
                    None => (CLIENT_KEY.0, CLIENT_CERTIFICATE.0),
                };
                let error = invalid(format!("is given without {lacks}"), "give both or none");
                self.take::<()>("", has, Err(error));
                return None;
            }
        };
        let Some((location, text, whole)) = self.endpoint(signal) else {
            return Some(None);
        };
        let endpoint = endpoint(&text, protocol?, signal, whole);
        let endpoint = self.take(&location, ENDPOINT.0, endpoint);
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

    /// Location and text of the endpoint, and whether it is already the whole URL of this signal.
    fn endpoint(&mut self, signal: Signal) -> Option<(String, String, bool)> {
        if self.is_set(ENDPOINT.0) {
            let location = self.find(ENDPOINT.0).map(|(location, _)| location);
            let text = self.get(ENDPOINT.0, |value| value.text().map(str::to_owned));
            return Some((location?, text?, false));
        }
        let [specific, general] = ENDPOINT.variables(signal);
        if let Some((location, text)) = self.otel_variable(&specific) {
            return Some((location, text, true));
        }
        let (location, text) = self.otel_variable(&general)?;
        Some((location, text, false))
    }

    /// A setting of one signal.
    fn for_signal<T>(
        &mut self,
        signal: Signal,
        key: &Key,
        parse: impl Fn(&Value<'_>) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        if !self.is_set(key.0) {
            for variable in key.variables(signal) {
                if let Some((location, text)) = self.otel_variable(&variable) {
                    return self.take(&location, "", parse(&Value::Text(&text)));
                }
            }
        }
        self.get(key.0, parse)
    }

    /// A setting that has one variable.
    fn with_variable<T>(
        &mut self,
        key: &str,
        variable: &str,
        parse: impl Fn(&Value<'_>) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        match self.otel_variable(variable) {
            Some((location, text)) if !self.is_set(key) => {
                self.take(&location, "", parse(&Value::Text(&text)))
            }
            _ => self.get(key, parse),
        }
    }
}
