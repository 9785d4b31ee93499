//! A server on a free port, and clients that write raw bytes to its sockets.

mod limits;
mod pages;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
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

/// A wait of this length fails a test.
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

    /// Sends the text on a new connection and returns the answer.
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

/// Reads until the server closes or resets the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(answer).unwrap()
}

/// Reads one answer on a connection that stays open.
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
