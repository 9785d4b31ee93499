//! Slow, silent, greedy and many clients.

use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
    thread,
};

use super::{super::Limits, HEALTHY, LIMITS, LONG, Server, one_answer, rest};

#[test]
fn refuses_large_and_invalid_requests() {
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
        // Longer than the limit of a request.
        thread::sleep(LIMITS.request * 2);
    }
    // It is closed within `LONG`.
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn closes_slow_and_silent_connections() {
    let server = Server::start(1, false);
    let mut second = server.connect();
    second.write_all(HEALTHY.as_bytes()).unwrap();
    assert!(!one_answer(&mut second).contains("connection: close"));
    let mut silent = server.connect();
    let mut dripping = server.connect();
    let are_cut_off = HEALTHY.bytes().any(|byte| {
        // The limit is for the whole head, and for each head of a connection. Each byte comes well within it.
        thread::sleep(LIMITS.request / 10);
        let gone = dripping.write_all(&[byte]).is_err();
        second.write_all(&[byte]).is_err() && gone
    });
    assert!(are_cut_off, "heads of four times the limit are taken");
    // It is closed within `LONG`.
    assert_eq!(rest(&mut silent), "");
}

#[test]
fn closes_a_connection_that_does_not_read_its_page() {
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
    // Longer than the limit.
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
fn answers_while_others_hold_every_connection() {
    // No limit ends a connection during the test.
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
    // The oldest was closed.
    assert_eq!(rest(&mut { silent }[0]), "");
    drop((dripping, idle, not_reading));
}

#[test]
fn stops_in_time_with_open_connections() {
    // No limit ends a connection during the test.
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
    // The page has begun.
    reading.peek(&mut [0]).unwrap();
    let address = server.address;
    let took = server.stop();
    assert!(took < LONG, "{took:?}");
    assert_eq!(rest(&mut idle), "");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn answers_half_closed_connections() {
    let server = Server::start(1, false);
    let mut stream = server.connect();
    stream.write_all(HEALTHY.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).contains("200 OK"));
}
