//! What a receiver's response means, by the OTLP specification 1.9: which errors may be retried, and after how long.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use bytes::Buf;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::{DecodeError, Message as _};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::refusal;
use crate::{config::Signal, text::printable};

/// The outcome of one request.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The receiver accepted the message, except for some items.
    Accepted {
        /// The number of items that it rejected.
        rejected: u64,
        /// The reason; also a warning about items that it accepted.
        why: String,
    },
    /// The receiver did not accept the message; it may be sent again.
    Later {
        /// The reason.
        why: String,
        /// How long the receiver asks to wait.
        after: Option<Duration>,
    },
    /// The receiver refuses the message for good.
    Refused {
        /// The reason.
        why: String,
    },
}

impl Outcome {
    /// The receiver could not be reached, or broke off.
    pub(super) fn unreachable(error: &dyn Error) -> Self {
        Self::Later {
            why: causes(error),
            after: None,
        }
    }

    /// Decodes the message of a successful response. An empty one means full success.
    pub(super) fn accepted(signal: Signal, response: impl Buf) -> Result<Self, DecodeError> {
        let partial = match signal {
            Signal::Metrics => ExportMetricsServiceResponse::decode(response)?
                .partial_success
                .map(|it| (it.rejected_data_points, it.error_message)),
            Signal::Logs => ExportLogsServiceResponse::decode(response)?
                .partial_success
                .map(|it| (it.rejected_log_records, it.error_message)),
            Signal::Traces => ExportTraceServiceResponse::decode(response)?
                .partial_success
                .map(|it| (it.rejected_spans, it.error_message)),
        };
        let (rejected, why) = partial.unwrap_or_default();
        Ok(Self::Accepted {
            rejected: u64::try_from(rejected).unwrap_or(0),
            why,
        })
    }

    /// A response of HTTP with its body.
    pub(super) fn of_http(
        signal: Signal,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        if status.is_success() {
            // Some receivers answer with a body that is no message: the status counts.
            return Self::accepted(signal, body).unwrap_or(Self::Accepted {
                rejected: 0,
                why: String::new(),
            });
        }
        let why = refusal::describe(status, headers, body);
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Later {
                why,
                after: retry_after(headers, SystemTime::now()),
            },
            _ => Self::Refused { why },
        }
    }

    /// A status of gRPC other than OK.
    pub(super) fn of_grpc(status: &Status) -> Self {
        let after = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        let why = match status.source() {
            // There was no response at all.
            Some(source) => causes(source),
            None => format!("{:?}: {}", status.code(), printable(status.message())),
        };
        let retryable = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => after.is_some(),
            _ => status.source().is_some(),
        };
        if retryable {
            Self::Later { why, after }
        } else {
            Self::Refused { why }
        }
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

/// An error and its causes, without repetitions.
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_has_seconds_or_a_date() {
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
    fn the_specification_says_what_may_be_retried() {
        let later = |status: &Status| matches!(Outcome::of_grpc(status), Outcome::Later { .. });
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
        assert_eq!(Outcome::of_grpc(&status), expected);
    }
}
