//! One request to a receiver and what came of it, by gRPC or HTTP, over TLS or not. What an answer means follows the
//! OTLP specification 1.9: which errors may be tried again, and after how long.

use std::{
    error::Error,
    io::Write as _,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::Message;
use tonic::{
    Code, Status, body::Body, client::Grpc, codec::CompressionEncoding, metadata::MetadataMap,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use super::{refusal, tls};
use crate::{
    config::otlp::{Protocol, Receiver},
    text::printable,
};

/// A message that asks a receiver to take something.
pub trait Export: Message + Clone + Default + 'static {
    /// What it answers when it has.
    type Answer: Message + Default + 'static;
    /// gRPC's method.
    const METHOD: &'static str;

    /// How much of it was not taken, and why.
    fn rejected(answer: Self::Answer) -> Option<(i64, String)>;
}

macro_rules! export {
    ($request:ty, $answer:ty, $service:literal, $rejected:ident) => {
        impl Export for $request {
            type Answer = $answer;
            const METHOD: &'static str =
                concat!("/opentelemetry.proto.collector.", $service, "/Export");

            fn rejected(answer: $answer) -> Option<(i64, String)> {
                let partial = answer.partial_success?;
                Some((partial.$rejected, partial.error_message))
            }
        }
    };
}

export!(
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
    "metrics.v1.MetricsService",
    rejected_data_points
);
export!(
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
    "logs.v1.LogsService",
    rejected_log_records
);
export!(
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
    "trace.v1.TraceService",
    rejected_spans
);

/// What came of a request.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The receiver has it, but for so many items, for that reason.
    Accepted {
        /// How many it has not.
        rejected: u64,
        /// Why.
        why: String,
    },
    /// It has not, and it may be sent again: after some time, if it says so.
    Later {
        /// Why not now.
        why: String,
        /// When, if it says so.
        after: Option<Duration>,
    },
    /// It has not, and never will.
    Refused {
        /// Why not.
        why: String,
    },
}

/// The longest answer that is read. Unit: bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// Until a connection that does not answer pings is given up.
const PING: Duration = Duration::from_secs(10);

/// One receiver.
pub struct Transport {
    receiver: Receiver,
    headers: HeaderMap,
    connector: HttpsConnector<HttpConnector>,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    limits: Vec<String>,
}

impl Transport {
    /// Reads the certificates; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with certificates, keys or headers, in one line with its key and a way out.
    pub fn new(receiver: &Receiver) -> Result<Self, String> {
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
            client: client(&connector, receiver.protocol),
            receiver: receiver.clone(),
            headers,
            connector,
            limits: tls.limits,
        })
    }

    /// What keeps receivers from being reached over TLS, as far as it can be told: a line each.
    pub fn limits(&self) -> &[String] {
        &self.limits
    }

    /// For people: where it sends to.
    pub fn place(&self) -> String {
        self.receiver.endpoint.to_string()
    }

    /// Sends one message. Ends within the receiver's timeout.
    pub async fn send<R: Export>(&mut self, request: &R) -> Outcome {
        let limit = self.receiver.timeout;
        let outcome = tokio::time::timeout(limit, async {
            match self.receiver.protocol {
                Protocol::Grpc => self.grpc(request).await,
                Protocol::Http => self.http(request).await,
            }
        });
        outcome.await.unwrap_or_else(|_elapsed| {
            // What does not answer is not used again: the connection may be half dead.
            self.client = client(&self.connector, self.receiver.protocol);
            Outcome::Later {
                why: format!("no answer in {}", humantime::format_duration(limit)),
                after: None,
            }
        })
    }

    async fn grpc<R: Export>(&self, message: &R) -> Outcome {
        let mut grpc = Grpc::with_origin(self.client.clone(), self.receiver.endpoint.clone());
        if self.receiver.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let mut grpc = grpc
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(LONGEST_ANSWER);
        if let Err(error) = grpc.ready().await {
            return Outcome::Later {
                why: causes(&error),
                after: None,
            };
        }
        let metadata = MetadataMap::from_headers(self.headers.clone());
        let request =
            tonic::Request::from_parts(metadata, tonic::Extensions::new(), message.clone());
        let codec = ProstCodec::<R, R::Answer>::new();
        match grpc
            .unary(request, PathAndQuery::from_static(R::METHOD), codec)
            .await
        {
            Ok(answer) => accepted::<R>(answer.into_inner()),
            Err(status) => refused(&status),
        }
    }

    async fn http<R: Export>(&self, message: &R) -> Outcome {
        let later = |why| Outcome::Later { why, after: None };
        let mut body = message.encode_to_vec();
        let mut request = Request::post(self.receiver.endpoint.clone());
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-protobuf"),
            );
            if self.receiver.gzip {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                match encoder.write_all(&body).and_then(|()| encoder.finish()) {
                    Ok(compressed) => body = compressed,
                    Err(error) => return later(causes(&error)),
                }
            }
        }
        let request = match request.body(Body::new(Full::new(Bytes::from(body)))) {
            Ok(request) => request,
            Err(error) => {
                return Outcome::Refused {
                    why: causes(&error),
                };
            }
        };
        let (parts, body) = match self.client.request(request).await {
            Ok(answer) => answer.into_parts(),
            Err(error) => return later(causes(&error)),
        };
        let body = match Limited::new(body, LONGEST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return later(causes(&*error)),
        };
        if parts.status.is_success() {
            // An empty answer is a whole one with nothing to say.
            return match R::Answer::decode(body) {
                Ok(answer) => accepted::<R>(answer),
                Err(_no_message) => accepted::<R>(R::Answer::default()),
            };
        }
        let why = refusal::describe(parts.status, &parts.headers, &body);
        match parts.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Later {
                why,
                after: retry_after(&parts.headers, SystemTime::now()),
            },
            _ => Outcome::Refused { why },
        }
    }
}

fn client(
    connector: &HttpsConnector<HttpConnector>,
    protocol: Protocol,
) -> Client<HttpsConnector<HttpConnector>, Body> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_only(protocol == Protocol::Grpc)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING)
        .build(connector.clone())
}

fn accepted<R: Export>(answer: R::Answer) -> Outcome {
    let (rejected, why) = R::rejected(answer).unwrap_or_default();
    Outcome::Accepted {
        rejected: u64::try_from(rejected).unwrap_or(0),
        why,
    }
}

/// What a status of gRPC other than OK means.
fn refused(status: &Status) -> Outcome {
    let after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let why = match status.source() {
        // There was no answer at all.
        Some(source) => causes(source),
        None => format!("{:?}: {}", status.code(), printable(status.message())),
    };
    let again = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => after.is_some(),
        _ => status.source().is_some(),
    };
    if again {
        Outcome::Later { why, after }
    } else {
        Outcome::Refused { why }
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// An error and what is behind it, each said once.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

fn headers(receiver: &Receiver) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let own = concat!("partymeter/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(own));
    for (name, value) in &receiver.headers.0 {
        // The value may be secret: it is not repeated.
        let wrong = || {
            format!(
                "otlp.headers: {name:?} is no name of a header, or has no value of one; help: correct it"
            )
        };
        let key: HeaderName = name.to_lowercase().parse().map_err(|_invalid| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_invalid| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_say_when_to_come_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let after = |text: &'static str| {
            let headers = [(header::RETRY_AFTER, HeaderValue::from_static(text))];
            retry_after(&headers.into_iter().collect(), now)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            after("Tue, 14 Nov 2023 22:13:30 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(after("Tue, 14 Nov 2023 22:13:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn what_may_be_tried_again_is_as_the_specification_says() {
        let later = |status: &Status| matches!(refused(status), Outcome::Later { .. });
        assert!(later(&Status::unavailable("down")));
        assert!(later(&Status::aborted("")));
        assert!(!later(&Status::unauthenticated("who?")));
        assert!(!later(&Status::resource_exhausted("full for good")));
        let delay = Duration::from_millis(1500);
        let details = tonic_types::ErrorDetails::with_retry_info(Some(delay));
        let status = Status::with_error_details(Code::ResourceExhausted, "slower", details);
        let expected = Outcome::Later {
            why: "ResourceExhausted: slower".to_owned(),
            after: Some(delay),
        };
        assert_eq!(refused(&status), expected);
    }
}
