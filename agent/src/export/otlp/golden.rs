//! The requests for spans and log records, field by field, as a receiver decodes them.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use opentelemetry::logs::LogRecord as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    resource::v1::Resource,
};
use opentelemetry_sdk::{logs::SdkLogRecord, trace::SpanData};
use prost::Message;
use tracing::{error, field::Empty, info_span, subscriber::with_default, warn};
use tracing_subscriber::{Layer as _, Registry, filter::filter_fn, layer::SubscriberExt as _};

use super::{
    ConnectionSpans, LogLayer, RoundLayer,
    exporter::{ExportBatch, log_exporter, span_exporter},
    queue::Queue,
    resource::{self, Attributes},
};
use crate::{
    log::ROUND,
    sample::{ConnectionObserver as _, ConnectionRecord},
};

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

/// Keeps the request, and accepts it.
#[derive(Debug, Default)]
struct Recorder(Mutex<Option<Request<Bytes>>>);

#[async_trait]
impl HttpClient for Recorder {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        *self.0.lock().unwrap() = Some(request);
        Ok(Response::new(Bytes::new()))
    }
}

impl Recorder {
    fn body(&self) -> Bytes {
        self.0.lock().unwrap().take().unwrap().into_body()
    }
}

fn attributes() -> Attributes {
    let pairs = [("host.name", "here"), ("service.name", "partymeter")];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs.into()
}

/// The request that the exporter sends for these items.
fn exported<R: Message + Default, E: ExportBatch>(
    recorder: &Recorder,
    exporter: &E,
    items: &[E::Item],
) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let exporting = exporter.export_batch(items);
    runtime.unwrap().block_on(exporting).unwrap();
    R::decode(recorder.body()).unwrap()
}

/// The order of a resource's attributes has no meaning, and the SDK's is random.
fn sort(resource: Option<&mut Resource>) {
    resource
        .unwrap()
        .attributes
        .sort_by(|a, b| a.key.cmp(&b.key));
}

fn moment(number: u64) -> SystemTime {
    at(0) + Duration::from_nanos(number)
}

fn trace_request(mut spans: Vec<SpanData>) -> ExportTraceServiceRequest {
    for (span, number) in spans.iter_mut().zip(0..) {
        (span.start_time, span.end_time) = (moment(number), moment(number + 5));
    }
    let recorder = Arc::<Recorder>::default();
    let resource = resource::for_exporters(&attributes());
    let exporter = span_exporter(Arc::<Recorder>::clone(&recorder), &resource).unwrap();
    let mut request: ExportTraceServiceRequest = exported(&recorder, &exporter, &spans);
    sort(request.resource_spans[0].resource.as_mut());
    request
}

fn logs_request(mut records: Vec<SdkLogRecord>) -> ExportLogsServiceRequest {
    for (record, number) in records.iter_mut().zip(0..) {
        record.set_timestamp(moment(number));
        record.set_observed_timestamp(moment(number));
    }
    let recorder = Arc::<Recorder>::default();
    let resource = resource::for_exporters(&attributes());
    let exporter = log_exporter(Arc::<Recorder>::clone(&recorder), &resource).unwrap();
    let mut request: ExportLogsServiceRequest = exported(&recorder, &exporter, &records);
    sort(request.resource_logs[0].resource.as_mut());
    request
}

/// Rounds in which one source succeeds, one fails and one is absent, with a message inside and one outside.
fn rounds_and_messages(spans: &Arc<Queue<SpanData>>, records: &Arc<Queue<SdkLogRecord>>) {
    let rounds = RoundLayer::new(Arc::clone(spans), 1, Duration::from_hours(1));
    let rounds = rounds.with_filter(filter_fn(|it| it.target() == ROUND));
    let messages = LogLayer::new(Arc::clone(records));
    with_default(Registry::default().with(messages).with(rounds), || {
        let round = |number: u64, source: &str, failure: Option<(&str, &str)>| {
            let span = info_span!(target: ROUND, "round", source, round = number, failure = Empty, kind = Empty);
            let _inside = span.enter();
            if let Some((kind, failure)) = failure {
                span.record("failure", failure);
                span.record("kind", kind);
            } else {
                warn!(
                    attempts = 3_u64,
                    share = 0.5,
                    slow = true,
                    party = "b",
                    "inside"
                );
            }
        };
        round(0, "host", None);
        round(0, "gpu0", Some(("lost", "GPU is lost")));
        round(0, "gpu1", Some(("absent", "no such GPU")));
        round(3, "host", None);
        error!(target: "another", "outside: {}", 7);
    });
}

fn connections(spans: &Arc<Queue<SpanData>>) {
    let mut observer = ConnectionSpans::new(Arc::clone(spans));
    let connection = ConnectionRecord {
        party: "b".into(),
        protocol: "aby3".into(),
        role: agent_ebpf::Role::Initiator,
        local: "10.0.0.1:40000".parse().unwrap(),
        remote: "10.0.0.2:31337".parse().unwrap(),
        began: at(0),
        ended: at(7),
        end: Some(agent_ebpf::End::Fin),
        adopted: false,
        transmit: 5000,
        receive: u64::MAX,
        retransmit: 0,
        smoothed_rtt: Some(0.25),
    };
    observer.ended(&connection);
    observer.ended(&ConnectionRecord {
        role: agent_ebpf::Role::Acceptor,
        end: Some(agent_ebpf::End::Reset),
        adopted: true,
        smoothed_rtt: None,
        ..connection
    });
}

fn compare(file: &str, request: &dyn std::fmt::Debug) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let text = format!("{request:#?}\n").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (number, (is, was)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(
            is,
            was,
            "{file}, line {}; UPDATE_GOLDEN=1 if it is meant",
            number + 1
        );
    }
    assert_eq!(text.len(), golden.len(), "{file}: the length");
}

#[test]
fn the_requests_match_the_golden_files() {
    fastrand::seed(11);
    let (spans, records) = (Arc::default(), Arc::default());
    rounds_and_messages(&spans, &records);
    connections(&spans);
    compare("otlp-traces.txt", &trace_request(spans.take(usize::MAX)));
    compare("otlp-logs.txt", &logs_request(records.take(usize::MAX)));
}
