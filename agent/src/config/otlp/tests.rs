//! Which source of a value wins, and what each error says.

use super::*;
use crate::config::{Config, HostEnv, Options, RawValue, read};

/// Resolves the text of a file with variables of OpenTelemetry.
fn resolve(text: &str, otel_variables: &[(&str, &str)]) -> Result<Otlp, Vec<String>> {
    let options = Options {
        otel_variables: otel_variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        ..Options::default()
    };
    resolve_all(text, &options).map(|config| config.otlp)
}

fn resolve_all(text: &str, options: &Options) -> Result<Config, Vec<String>> {
    let host = HostEnv {
        node_name: None,
        host_name: None,
    };
    let config = read("f", text, options, &host);
    config.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn endpoints(otlp: &Otlp) -> [String; 3] {
    otlp.receivers
        .clone()
        .map(|receiver| receiver.map_or(String::new(), |it| it.endpoint.to_string()))
}

#[test]
fn nothing_is_sent_without_an_endpoint() {
    let otlp = resolve("", &[]).unwrap();
    assert_eq!(otlp, crate::config::tests::minimal().otlp);
    let otlp = resolve("[otlp]\nendpoint = \"\"", &[]).unwrap();
    assert_eq!(otlp.receivers, [const { None }; 3]);
}

#[test]
fn one_endpoint_serves_all_signals_and_http_has_a_path_for_each() {
    let otlp = resolve("[otlp]\nendpoint = \"http://c:4317\"", &[]).unwrap();
    assert_eq!(endpoints(&otlp), ["http://c:4317/"; 3]);
    let text = "[otlp]\nendpoint = \"https://c/base/\"\nprotocol = \"http/protobuf\"\nsignals = [\"metrics\", \"traces\"]";
    let otlp = resolve(text, &[]).unwrap();
    assert_eq!(
        endpoints(&otlp),
        ["https://c/base/v1/metrics", "", "https://c/base/v1/traces"]
    );
}

#[test]
fn the_file_overrides_variables_and_specific_ones_override_general_ones() {
    let otel_variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs/own/path"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x = y"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=a,k8s.cluster.name=prod",
        ),
        ("OTEL_SERVICE_NAME", "b"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
    ];
    let otlp = resolve("", &otel_variables).unwrap();
    assert_eq!(
        endpoints(&otlp),
        [
            "http://general/v1/metrics",
            "http://logs/own/path",
            "http://general/"
        ]
    );
    let [metrics, logs, traces] = otlp.receivers.each_ref().map(|it| it.as_ref().unwrap());
    assert_eq!(
        (metrics.timeout, logs.timeout),
        (Duration::from_millis(1), Duration::from_millis(2500))
    );
    assert_eq!(
        (metrics.protocol, traces.protocol),
        (Protocol::Http, Protocol::Grpc)
    );
    assert!(!metrics.gzip);
    let headers =
        [("api-key", "a b"), ("x", "y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(metrics.headers.0, headers);
    assert_eq!(format!("{:?}", metrics.headers), "[\"api-key\", \"x\"]");
    assert_eq!(
        (otlp.interval, otlp.temporality),
        (Duration::from_mins(1), Temporality::Delta)
    );
    assert_eq!(otlp.histograms, Histograms::Exponential);
    let resource: Vec<_> = otlp
        .resource
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        resource,
        ["service.name=a", "k8s.cluster.name=prod", "service.name=b"]
    );

    let text = "[otlp]\nendpoint = \"http://file\"\ninterval = \"5s\"\nprotocol = \"grpc\"\nresource = \"a=1\"";
    let otlp = resolve(text, &otel_variables).unwrap();
    assert_eq!(endpoints(&otlp), ["http://file/"; 3]);
    assert_eq!(otlp.interval, Duration::from_secs(5));
    assert_eq!(
        otlp.resource.last(),
        Some(&("a".to_owned(), "1".to_owned()))
    );
}

#[test]
fn disabled_signals_are_not_sent() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let otlp = resolve("", &[endpoint, ("OTEL_SDK_DISABLED", "True")]).unwrap();
    assert_eq!(otlp.receivers, [const { None }; 3]);
    let otlp = resolve("", &[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap();
    assert_eq!(endpoints(&otlp), ["http://c/", "http://c/", ""]);
}

#[test]
fn a_flag_overrides_the_file() {
    let mut options = Options::default();
    let raw = RawValue {
        location: "--otlp-endpoint".to_owned(),
        text: "http://flag".to_owned(),
    };
    options.values.insert("otlp.endpoint", raw);
    let config = resolve_all("[otlp]\nendpoint = \"http://file\"", &options).unwrap();
    assert_eq!(endpoints(&config.otlp), ["http://flag/"; 3]);
}

#[test]
fn every_error_is_reported_once_with_its_location() {
    let text = r#"
[otlp]
endpoint = "collector:4317"
protocol = "http/json"
interval = "10ms"
timeout = 5
compression = "zstd"
headers = "secret"
client_key = "k"
signals = ["metrics", "profiles"]
histograms = "none"
"#;
    let otel_variables = [
        ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
        ("OTEL_METRICS_EXPORTER", "console"),
    ];
    let mut errors = resolve(text, &otel_variables).unwrap_err();
    errors.sort();
    assert_eq!(
        errors,
        [
            "OTEL_RESOURCE_ATTRIBUTES: has a part that is not name=value; help: write name=value,name=value",
            "f:10: otlp.signals: \"profiles\" is not one of its values; help: give metrics, logs, traces",
            "f:11: otlp.histograms: \"none\" is not one of its values; help: give explicit, exponential, explicit_bucket_histogram, base2_exponential_bucket_histogram",
            "f:4: otlp.protocol: \"http/json\" is not one of its values; help: give grpc, http/protobuf",
            "f:5: otlp.interval: 10ms is out of range; help: give 1s to 1h",
            "f:6: otlp.timeout: an integer is not a duration; help: write \"1s\" or \"200ms\"",
            "f:7: otlp.compression: \"zstd\" is not one of its values; help: give gzip, none",
            "f:8: otlp.headers: has a part that is not name=value; help: write name=value,name=value",
            "otlp.client_key: is given without otlp.client_certificate; help: give both or none",
        ]
    );
    let errors = resolve(
        "",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c/path"),
            ("OTEL_METRICS_EXPORTER", "console"),
        ],
    );
    assert_eq!(
        errors.unwrap_err(),
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint: \"http://c/path\" has a path, and gRPC has none; help: write one like http://collector:4317, or https",
            "OTEL_METRICS_EXPORTER: \"console\" is not one of its values; help: give otlp, none",
        ]
    );
    let text = "[otlp]\nendpoint = \"https://user:pass@c\"";
    assert_eq!(
        resolve(text, &[]).unwrap_err(),
        ["f:2: otlp.endpoint: has a password in it; help: give it in otlp.headers"]
    );
    for wrong in ["collector:4317", "ftp://c", "c"] {
        assert_eq!(
            resolve(&format!("[otlp]\nendpoint = {wrong:?}"), &[])
                .unwrap_err()
                .len(),
            1
        );
    }
}
