//! What is on each page, and for whom.

use std::io::{Read as _, Write as _};

use super::{super::bind, Server};

#[test]
fn serves_its_pages() {
    let server = Server::start(1, false);
    for (path, status, kind, text) in [
        ("/", "200 OK", "text/html", "<a href=\"/metrics\">"),
        ("/metrics", "200 OK", "text/plain; version=0.0.4", "# TYPE"),
        (
            "/metrics?x=y",
            "200 OK",
            "text/plain; version=0.0.4",
            "# TYPE",
        ),
        ("/-/healthy", "200 OK", "text/plain", "healthy"),
        ("/-/ready", "200 OK", "text/plain", "network: up\n"),
        ("/metrics/", "404 Not Found", "text/plain", "see /"),
    ] {
        let answer = server.get(path, "");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(body.contains(text), "{body}");
    }
}

#[test]
fn negotiates_the_format() {
    let server = Server::start(1, false);
    // Two header lines are one list.
    let asked = "Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text\r\n";
    let answer = server.get("/metrics", asked);
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    assert!(answer.contains("network_bytes_total{direction=\"transmit\",party_id=\"party 0\""));
}

#[test]
fn says_why_it_is_not_ready() {
    let server = Server::start(1, true);
    let answer = server.get("/-/ready", "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nnetwork: up\nhost: down: cannot read: plug the disk in\n"),
        "{answer}"
    );
    let answer = server.get("/metrics", "");
    assert!(
        answer.contains("\npartymeter_source_up{source=\"host\"} 0\n"),
        "{answer}"
    );
    assert!(answer.contains("\nnetwork_bytes_total{"), "{answer}");
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start(1, false);
    let request = "HEAD /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = server.ask(request);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-length: 8\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn refuses_other_methods() {
    let server = Server::start(1, false);
    for method in ["POST", "DELETE", "OPTIONS", "NONSENSE"] {
        let body = "Content-Length: 5\r\nConnection: close\r\n\r\nhello";
        let answer = server.ask(&format!("{method} /metrics HTTP/1.1\r\nHost: x\r\n{body}"));
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
}

#[test]
fn compresses_pages_for_clients_that_accept_gzip() {
    let server = Server::start(50, false);
    for format in ["", "Accept: application/openmetrics-text\r\n"] {
        let whole = server.get("/metrics", format);
        assert!(
            whole.contains("vary: Accept, Accept-Encoding\r\n"),
            "{whole}"
        );
        assert!(!whole.contains("content-encoding"), "{whole}");
        let mut stream = server.connect();
        let headers = format!("Connection: close\r\nAccept-Encoding: gzip\r\n{format}");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&answer[..end]);
        assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
        let mut page = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&answer[end..]);
        decoder.read_to_string(&mut page).unwrap();
        assert!(page.contains("party 49"), "{page}");
        assert!(answer.len() * 4 < whole.len());
        // HEAD has the same headers.
        let asked = server.ask(&request.replacen("GET", "HEAD", 1));
        assert!(asked.contains("content-encoding: gzip\r\n"), "{asked}");
        assert!(asked.ends_with("\r\n\r\n"), "{asked}");
    }
    let short = server.get("/-/healthy", "Accept-Encoding: gzip\r\n");
    assert!(short.ends_with("\r\n\r\nhealthy\n"), "{short}");
}

#[test]
fn rejects_requests_for_another_host() {
    let server = Server::start(1, false);
    for path in ["/metrics", "/-/ready", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n");
        let answer = server.ask(&format!("{request}Connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        assert!(
            answer.contains("\r\n\r\nevil.example is not a name of this machine; "),
            "{answer}"
        );
    }
    let old = server.ask("GET /-/healthy HTTP/1.0\r\n\r\n");
    assert!(old.ends_with("healthy\n"), "{old}");
    let own = format!("GET /-/healthy HTTP/1.1\r\nHost: {}\r\n", server.address);
    let own = server.ask(&format!("{own}Connection: close\r\n\r\n"));
    assert!(own.ends_with("healthy\n"), "{own}");
}

#[test]
fn explains_why_it_cannot_listen() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.local_addr().unwrap();
    let error = bind(address).unwrap_err().to_string();
    let mend = "stop the other program, or set prometheus.listen";
    assert_eq!(error, format!("{address} is in use; help: {mend}"));
    let error = bind("192.0.2.1:9464".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "192.0.2.1 is no address of this machine; help: set prometheus.listen to one that is"
    );
}
