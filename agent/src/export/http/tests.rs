//! A server on a free port, and clients that write to its sockets what they like.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Hosts, Limits, bind, serve};
use crate::{
    sample::{FailureKind, Host, Network, Traffic},
    sampler::Sampler,
    source::{Failure, Source, spawn},
};

const LIMITS: Limits = Limits {
    connections: 4,
    request: Duration::from_millis(400),
    pause: Duration::from_millis(2500),
    drain: Duration::from_millis(300),
};

/// So long that a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(10);

struct Works(u32);

impl Source for Works {
    type Sample = Network;

    fn name(&self) -> Arc<str> {
        "network".into()
    }

    fn collect(&mut self) -> Result<Network, Failure> {
        let traffic = (0..self.0).map(|party| Traffic {
            party: format!("party {party}").into(),
            protocol: "aby3".into(),
            transmit: 1,
            receive: 2,
            retransmit: 3,
            ..Traffic::default()
        });
        Ok(Network {
            traffic: traffic.collect(),
            ..Network::default()
        })
    }
}

struct Fails;

impl Source for Fails {
    type Sample = Host;

    fn name(&self) -> Arc<str> {
        "host".into()
    }

    fn collect(&mut self) -> Result<Host, Failure> {
        Err(Failure::new(
            FailureKind::Read,
            "cannot read: plug the disk in",
        ))
    }
}

struct Server {
    address: std::net::SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(parties: u32, host_fails: bool) -> Self {
        Self::with(parties, host_fails, LIMITS)
    }

    fn with(parties: u32, host_fails: bool, limits: Limits) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let sampler = Sampler {
            started: std::time::SystemTime::now(),
            configuration: Arc::default(),
            otlp: Arc::default(),
            node: "here".into(),
            network: Some(spawn(Works(parties), LONG).unwrap()),
            gpus: None,
            idle: None,
            ledger: None,
            host: host_fails.then(|| spawn(Fails, LONG).unwrap()),
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let stopped = async { drop(stopped.await) };
            let sampler = Arc::new(sampler);
            let hosts = Hosts::new(["x".to_owned()]);
            let served = serve(vec![listener], sampler, hosts, limits, stopped);
            runtime.block_on(served).unwrap();
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Sends the text on a connection of its own, and returns all that comes back.
    fn ask(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        rest(&mut stream)
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        ))
    }

    fn stop(mut self) -> Duration {
        let began = Instant::now();
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
        began.elapsed()
    }
}

/// All that comes until the server closes. What was lost to a reset does not matter.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(answer).unwrap()
}

/// One whole answer on a connection that stays.
fn one_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"healthy\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

const HEALTHY: &str = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";

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
fn gives_the_format_that_is_asked_for() {
    let server = Server::start(1, false);
    // In two header lines, which count as one list.
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
fn refuses_what_is_too_large_or_no_http() {
    let server = Server::start(1, false);
    let large = server.get("/", &format!("X: {}\r\n", "x".repeat(20_000)));
    assert!(
        large.is_empty() || large.starts_with("HTTP/1.1 431 "),
        "{large}"
    );
    let many = server.get("/", &"X: y\r\n".repeat(100));
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    let nonsense = server.ask("\u{16}\u{3}\u{1} hello\r\n\r\n");
    assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
    assert!(server.get("/-/healthy", "").contains("200 OK"));
}

#[test]
fn keeps_a_connection_for_longer_than_a_request_may_take() {
    let server = Server::start(1, false);
    let mut stream = server.connect();
    for _ in 0..2 {
        stream.write_all(HEALTHY.as_bytes()).unwrap();
        assert!(one_answer(&mut stream).starts_with("HTTP/1.1 200 "));
        // It is time itself that must not end the connection.
        thread::sleep(LIMITS.request * 2);
    }
    // Within `LONG` it is closed.
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn cuts_off_who_drips_a_head_or_says_nothing() {
    let server = Server::start(1, false);
    let mut second = server.connect();
    second.write_all(HEALTHY.as_bytes()).unwrap();
    assert!(!one_answer(&mut second).contains("connection: close"));
    let mut silent = server.connect();
    let mut dripping = server.connect();
    let are_cut_off = HEALTHY.bytes().any(|byte| {
        // The limit is for the whole head, however its bytes come, and for every head of a connection: they come
        // slowly, but each well within the limit.
        thread::sleep(LIMITS.request / 10);
        let gone = dripping.write_all(&[byte]).is_err();
        second.write_all(&[byte]).is_err() && gone
    });
    assert!(are_cut_off, "heads of four times the limit are taken");
    // Within `LONG` it is closed.
    assert_eq!(rest(&mut silent), "");
}

#[test]
fn cuts_off_who_does_not_read_its_page() {
    // Long enough for a busy machine to begin with the page.
    let limits = Limits {
        request: LIMITS.request * 5,
        ..LIMITS
    };
    let server = Server::with(10_000, false, limits);
    let mut stream = server.connect();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // That it does not read for so long is what it is cut off for.
    thread::sleep(limits.request * 3);
    let answer = rest(&mut stream);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    assert!(body.len() < length.parse().unwrap(), "the whole page came");
}

#[test]
fn whoever_asks_is_answered_whatever_others_hold() {
    // None of them goes by itself before the test has failed.
    let limits = Limits {
        request: LONG * 60,
        pause: LONG * 60,
        ..LIMITS
    };
    let server = Server::with(10_000, false, limits);
    let many = LIMITS.connections * 5;
    let healthy = || {
        assert!(server.get("/-/healthy", "").contains("200 OK"));
    };
    let silent: Vec<TcpStream> = (0..many).map(|_| server.connect()).collect();
    healthy();
    let dripping = (0..many).map(|_| {
        let mut stream = server.connect();
        stream.write_all(b"GET /metrics HT").unwrap();
        stream
    });
    let dripping: Vec<TcpStream> = dripping.collect();
    healthy();
    let idle = (0..many).map(|_| {
        let mut stream = server.connect();
        stream.write_all(HEALTHY.as_bytes()).unwrap();
        one_answer(&mut stream);
        stream
    });
    let idle: Vec<TcpStream> = idle.collect();
    healthy();
    let not_reading = (0..LIMITS.connections).map(|_| {
        let mut stream = server.connect();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        stream
    });
    let not_reading: Vec<TcpStream> = not_reading.collect();
    healthy();
    // The oldest had to go.
    assert_eq!(rest(&mut { silent }[0]), "");
    drop((dripping, idle, not_reading));
}

#[test]
fn a_page_goes_out_in_gzip_where_that_is_taken() {
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
        // HEAD says the same of it.
        let asked = server.ask(&request.replacen("GET", "HEAD", 1));
        assert!(asked.contains("content-encoding: gzip\r\n"), "{asked}");
        assert!(asked.ends_with("\r\n\r\n"), "{asked}");
    }
    let short = server.get("/-/healthy", "Accept-Encoding: gzip\r\n");
    assert!(short.ends_with("\r\n\r\nhealthy\n"), "{short}");
}

#[test]
fn a_request_for_another_machine_is_not_answered() {
    let server = Server::start(1, false);
    for path in ["/metrics", "/-/ready", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n");
        let answer = server.ask(&format!("{request}Connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        assert!(
            answer.contains("\r\n\r\nevil.example is no name of this machine; "),
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
fn stops_in_time_whatever_its_clients_do() {
    // None of them goes by itself before the test has failed.
    let limits = Limits {
        request: LONG * 60,
        pause: LONG * 60,
        ..LIMITS
    };
    let server = Server::with(10_000, false, limits);
    let mut idle = server.connect();
    idle.write_all(HEALTHY.as_bytes()).unwrap();
    one_answer(&mut idle);
    let mut reading = server.connect();
    reading
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // Its page has begun.
    reading.peek(&mut [0]).unwrap();
    let address = server.address;
    let took = server.stop();
    assert!(took < LONG, "{took:?}");
    assert_eq!(rest(&mut idle), "");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn takes_half_closed_clients() {
    let server = Server::start(1, false);
    let mut stream = server.connect();
    stream.write_all(HEALTHY.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).contains("200 OK"));
}

#[test]
fn names_what_keeps_it_from_listening() {
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
