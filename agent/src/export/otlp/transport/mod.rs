//! Sends one encoded message to a receiver, by gRPC or HTTP, with or without TLS, and says what came of it.

mod codec;
mod outcome;
mod refusal;
mod tls;

use std::{
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tonic::{body::Body, client::Grpc, codec::CompressionEncoding, metadata::MetadataMap};

pub use self::outcome::Outcome;
use crate::config::{
    Signal,
    otlp::{Protocol, Receiver},
};

/// The longest response that is read. Unit: bytes.
const LONGEST_RESPONSE: usize = 64 << 10;

/// How long a connection may leave a ping unanswered before it is closed.
const PING: Duration = Duration::from_secs(10);

type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// The way to the receiver of one signal.
#[derive(Debug)]
pub struct Transport {
    signal: Signal,
    receiver: Receiver,
    headers: HeaderMap,
    connector: HttpsConnector<HttpConnector>,
    client: Mutex<HttpClient>,
    limits: Vec<String>,
}

impl Transport {
    /// Reads the certificates; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with certificates, keys or headers, in one line with its key and the way out.
    pub fn new(signal: Signal, receiver: &Receiver) -> Result<Self, String> {
        let headers = headers(receiver)?;
        let tls = tls::prepare(receiver, SystemTime::now())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.config)
            .https_or_http();
        let connector = match receiver.protocol {
            Protocol::Grpc => connector.enable_http2().build(),
            Protocol::Http => connector.enable_http1().build(),
        };
        Ok(Self {
            signal,
            client: Mutex::new(new_client(&connector, receiver.protocol)),
            receiver: receiver.clone(),
            headers,
            connector,
            limits: tls.limits,
        })
    }

    /// Certificates that are not valid now, a line each.
    pub fn limits(&self) -> &[String] {
        &self.limits
    }

    /// The receiver's address, for messages.
    pub fn address(&self) -> String {
        self.receiver.endpoint.to_string()
    }

    /// Sends one encoded request of the signal's service. Returns within the receiver's timeout.
    pub async fn send(&self, message: Bytes) -> Outcome {
        let limit = self.receiver.timeout;
        let client = self.client().clone();
        let outcome = tokio::time::timeout(limit, async {
            match self.receiver.protocol {
                Protocol::Grpc => self.grpc(client, message).await,
                Protocol::Http => self.http(client, message).await,
            }
        });
        outcome.await.unwrap_or_else(|_elapsed| {
            // The connection may be half dead: the next request opens another.
            *self.client() = new_client(&self.connector, self.receiver.protocol);
            Outcome::Later {
                why: format!("no response for {}", humantime::format_duration(limit)),
                after: None,
            }
        })
    }

    async fn grpc(&self, client: HttpClient, message: Bytes) -> Outcome {
        let mut grpc = Grpc::with_origin(client, self.receiver.endpoint.clone());
        if self.receiver.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let mut grpc = grpc
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(LONGEST_RESPONSE);
        if let Err(error) = grpc.ready().await {
            return Outcome::unreachable(&error);
        }
        let metadata = MetadataMap::from_headers(self.headers.clone());
        let request = tonic::Request::from_parts(metadata, tonic::Extensions::new(), message);
        let method = PathAndQuery::from_static(match self.signal {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        });
        match grpc
            .unary(request, method, codec::Encoded(self.signal))
            .await
        {
            Ok(response) => response.into_inner(),
            Err(status) => Outcome::of_grpc(&status),
        }
    }

    async fn http(&self, client: HttpClient, message: Bytes) -> Outcome {
        let message = match self.receiver.gzip.then(|| gzip(&message)).transpose() {
            Ok(compressed) => compressed.unwrap_or(message),
            Err(error) => return Outcome::unreachable(&error),
        };
        let mut request = Request::new(Body::new(Full::new(message)));
        *request.method_mut() = http::Method::POST;
        request.uri_mut().clone_from(&self.receiver.endpoint);
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        if self.receiver.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let (parts, body) = match client.request(request).await {
            Ok(response) => response.into_parts(),
            Err(error) => return Outcome::unreachable(&error),
        };
        match Limited::new(body, LONGEST_RESPONSE).collect().await {
            Ok(body) => {
                Outcome::of_http(self.signal, parts.status, &parts.headers, &body.to_bytes())
            }
            Err(error) => Outcome::unreachable(&*error),
        }
    }

    fn client(&self) -> std::sync::MutexGuard<'_, HttpClient> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_client(connector: &HttpsConnector<HttpConnector>, protocol: Protocol) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_only(protocol == Protocol::Grpc)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING)
        .build(connector.clone())
}

fn gzip(message: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message)?;
    encoder.finish().map(Bytes::from)
}

fn headers(receiver: &Receiver) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let own = concat!("partymeter/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(own));
    for (name, value) in &receiver.headers.0 {
        // The value may be secret, so the message does not have it.
        let wrong = || {
            format!("otlp.headers: {name:?} is not a valid header; help: correct its name or value")
        };
        let key: HeaderName = name.to_lowercase().parse().map_err(|_invalid| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_invalid| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
