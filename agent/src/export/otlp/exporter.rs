//! OpenTelemetry's own exporters of spans and log records. They encode a batch and hand the request to the agent's
//! [`Transport`], which sets address, headers and compression itself: nothing that the exporters read from the
//! environment reaches the receiver. They do not retry; the sender does, because it knows what the receiver asked for.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use opentelemetry::InstrumentationScope;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, Protocol, RetryPolicy, SpanExporter, WithExportConfig,
    WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter as _, SdkLogRecord},
    trace::{SpanData, SpanExporter as _},
};
use opentelemetry_semantic_conventions::SCHEMA_URL;

use super::transport::{Outcome, Transport};

/// Sends the exporters' requests and keeps what came of the last one: an exporter's own result has neither the
/// receiver's reason nor its wait nor partial success.
#[derive(Debug)]
struct Client {
    transport: Arc<Transport>,
    outcome: Mutex<Option<Outcome>>,
}

impl Client {
    fn take_outcome(&self) -> Option<Outcome> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.take()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.transport.send(request.into_body()).await;
        let accepted = matches!(outcome, Outcome::Accepted { .. });
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        if accepted {
            Ok(Response::new(Bytes::new()))
        } else {
            Err("not accepted".into())
        }
    }
}

/// An exporter with the transport that it sends over.
pub(super) struct Exporter<E> {
    exporter: E,
    client: Arc<Client>,
}

impl<E: ExportBatch> Exporter<E> {
    /// `build` makes the exporter with a client that sends over the transport.
    pub(super) fn new(
        transport: Arc<Transport>,
        build: impl FnOnce(Arc<dyn HttpClient>) -> Result<E, ExporterBuildError>,
    ) -> Result<Self, ExporterBuildError> {
        let outcome = Mutex::new(None);
        let client = Arc::new(Client { transport, outcome });
        Ok(Self {
            exporter: build(Arc::<Client>::clone(&client))?,
            client,
        })
    }

    /// Sends one batch, once.
    pub(super) async fn export(&self, batch: &[E::Item]) -> Outcome {
        let result = self.exporter.export_batch(batch).await;
        self.client.take_outcome().unwrap_or_else(|| {
            // Nothing was sent: the exporter could not make a request of the batch.
            let why = result.err().map(|error| error.to_string());
            Outcome::Refused {
                why: why.unwrap_or_default(),
            }
        })
    }
}

pub(super) fn span_exporter(
    client: Arc<dyn HttpClient>,
    resource: &Resource,
) -> Result<SpanExporter, ExporterBuildError> {
    let mut exporter = configure(SpanExporter::builder().with_http(), client).build()?;
    exporter.set_resource(resource);
    Ok(exporter)
}

pub(super) fn log_exporter(
    client: Arc<dyn HttpClient>,
    resource: &Resource,
) -> Result<LogExporter, ExporterBuildError> {
    let mut exporter = configure(LogExporter::builder().with_http(), client).build()?;
    exporter.set_resource(resource);
    Ok(exporter)
}

fn configure<B: WithExportConfig + WithHttpConfig>(builder: B, client: Arc<dyn HttpClient>) -> B {
    builder
        .with_shared_http_client(client)
        // The transport knows the address. Without one here the exporter would look for one in the environment.
        .with_endpoint("http://localhost")
        .with_protocol(Protocol::HttpBinary)
        .with_retry_policy(RetryPolicy::disabled())
}

/// What spans and log records have in common for the sender.
pub(super) trait ExportBatch {
    /// A span or a log record.
    type Item: Send + Sync;

    /// Encodes a batch and sends it. The caller keeps the batch, so that it can send it again.
    fn export_batch(&self, batch: &[Self::Item]) -> impl Future<Output = OTelSdkResult> + Send;
}

impl ExportBatch for SpanExporter {
    type Item = SpanData;

    fn export_batch(&self, batch: &[SpanData]) -> impl Future<Output = OTelSdkResult> + Send {
        self.export(batch.to_vec())
    }
}

impl ExportBatch for LogExporter {
    type Item = SdkLogRecord;

    async fn export_batch(&self, batch: &[SdkLogRecord]) -> OTelSdkResult {
        let scope = instrumentation_scope();
        let batch: Vec<_> = batch.iter().map(|record| (record, &scope)).collect();
        self.export(LogBatch::new(&batch)).await
    }
}

/// The agent, as the producer of spans and log records.
pub(super) fn instrumentation_scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}
