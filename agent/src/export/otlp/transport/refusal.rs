//! Describes why a receiver did not accept a message, in one line that is safe to log. Pure.

use http::{HeaderMap, StatusCode, header};
use prost::Message as _;

use crate::text::printable;

/// The status of a response, the receiver's reason, and the way out where it is known.
pub(super) fn describe(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let reason = reason(headers, body);
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let help = match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            "; help: raise the receiver's limit for a message to 4 MiB or more".to_owned()
        }
        status if status.is_redirection() => {
            let location = headers.get(header::LOCATION);
            let location = location.map_or_else(
                || "the new address".to_owned(),
                |it| printable(it.as_bytes()),
            );
            format!("; help: set otlp.endpoint to {location}")
        }
        _ => String::new(),
    };
    format!("{status}{reason}{help}")
}

/// The first line of the reason, from a `google.rpc.Status` in protobuf or JSON, or plain text.
fn reason(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    let message = match kind {
        "application/x-protobuf" | "application/protobuf" => in_protobuf(body),
        "application/json" => in_json(body).or_else(|| Some(body.to_vec())),
        "text/html" => None,
        "" => in_json(body)
            .or_else(|| in_protobuf(body).filter(|it| str::from_utf8(it).is_ok()))
            .or_else(|| Some(body.to_vec())),
        _ => Some(body.to_vec()),
    }?;
    let mut lines = message.split(|byte| b"\r\n".contains(byte));
    let line = lines.find(|line| !line.trim_ascii().is_empty())?;
    Some(printable(line.trim_ascii()))
}

fn in_protobuf(body: &[u8]) -> Option<Vec<u8>> {
    let status = tonic_types::pb::Status::decode(body).ok()?;
    (!status.message.is_empty()).then(|| status.message.into_bytes())
}

/// `message` of a status, or `error` as Prometheus and others name it.
fn in_json(body: &[u8]) -> Option<Vec<u8>> {
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |name| status.get(name)?.as_str();
    let found = text("message").or_else(|| text("error"))?;
    Some(found.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn described(status: u16, kind: &'static str, body: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        describe(StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    #[test]
    fn the_receivers_reason_is_shown_whatever_its_format() {
        let expected = "400 Bad Request: invalid temporality";
        let text = b"\ninvalid temporality\nstack trace\n";
        assert_eq!(described(400, "text/plain; charset=utf-8", text), expected);
        assert_eq!(described(400, "", text), expected);
        let json = br#"{"code":3,"message":"invalid temporality"}"#;
        assert_eq!(described(400, "application/json", json), expected);
        assert_eq!(
            described(400, "", br#"{"error":"invalid temporality"}"#),
            expected
        );
        let status = tonic_types::pb::Status {
            message: "invalid temporality".to_owned(),
            ..Default::default()
        };
        let body = status.encode_to_vec();
        assert_eq!(described(400, "application/x-protobuf", &body), expected);
        assert_eq!(
            described(500, "text/html", b"<html>"),
            "500 Internal Server Error"
        );
        assert_eq!(described(503, "text/plain", b""), "503 Service Unavailable");
    }

    #[test]
    fn a_reason_is_bounded_and_stays_one_line() {
        let long = described(400, "text/plain", &[b'x'; 10_000]);
        assert!(long.len() < 400, "{}", long.len());
        let escape = described(400, "text/plain", b"a\x1b[2Jb\xff");
        assert_eq!(escape, r"400 Bad Request: a\u{1b}[2Jb\xff");
    }

    #[test]
    fn the_way_out_is_named() {
        assert!(described(413, "", b"").contains("; help: raise the receiver's limit"));
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static("https://b/v1"));
        let moved = describe(StatusCode::MOVED_PERMANENTLY, &headers, b"");
        assert_eq!(
            moved,
            "301 Moved Permanently; help: set otlp.endpoint to https://b/v1"
        );
    }
}
