//! A receiver of OTLP that decodes with OpenTelemetry's own classes, and can be made to misbehave.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A Python that has these modules.
pub fn python(modules: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/python/bin/python");
    let has = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let place = python.display();
    assert!(
        has,
        "needs Python: {place} has no {modules}; run `cargo xtask setup test`"
    );
    python
}

/// One that runs; stopped when dropped.
pub struct Receiver {
    child: Child,
    grpc: u16,
    http: u16,
    control: u16,
}

impl Receiver {
    /// Starts one with such arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let python = python("grpc, google.rpc.status_pb2, opentelemetry.proto.trace.v1.trace_pb2");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp_receiver.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ports: BTreeMap<String, u16> = serde_json::from_str(&line).unwrap();
        Self {
            child,
            grpc: ports["grpc"],
            http: ports["http"],
            control: ports["control"],
        }
    }

    /// The keys `endpoint` and `protocol` of the section `otlp`.
    pub fn keys(&self, transport: &str) -> String {
        self.keys_of("http", "127.0.0.1", transport)
    }

    /// The same with another scheme and host.
    pub fn keys_of(&self, scheme: &str, host: &str, transport: &str) -> String {
        let (port, protocol) = match transport {
            "grpc" => (self.grpc, "grpc"),
            "http" => (self.http, "http/protobuf"),
            other => panic!("{other}"),
        };
        format!("endpoint = \"{scheme}://{host}:{port}\"\nprotocol = \"{protocol}\"\n")
    }

    /// Misbehaves like that from now on; empty for not at all.
    pub fn fault(&self, fault: &str) {
        self.ask("POST", "/fault", fault);
    }

    /// Forgets what it has taken.
    pub fn forget(&self) {
        self.ask("POST", "/forget", "");
    }

    /// Everything that it has taken.
    pub fn taken(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/", "")).unwrap()
    }

    /// Waits for something in what it has taken.
    pub fn until<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        super::until(
            || find(&self.taken()),
            || format!("no {what} in {:#}", self.taken()),
        )
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.control)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{head}");
        body.to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All items of a list in a message, by the path to them: `["resourceMetrics", "scopeMetrics", "metrics"]`.
pub fn items<'v>(messages: &'v Value, path: &[&str]) -> Vec<&'v Value> {
    let mut level: Vec<&Value> = messages.as_array().unwrap().iter().collect();
    for name in path {
        let next = level
            .iter()
            .flat_map(|it| it[*name].as_array().into_iter().flatten());
        level = next.collect();
    }
    level
}

/// Attributes as text.
pub fn attributes(item: &Value) -> BTreeMap<String, String> {
    let list = item["attributes"].as_array().into_iter().flatten();
    let one = |it: &Value| {
        let value = it["value"].as_object().unwrap().values().next().unwrap();
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (it["key"].as_str().unwrap().to_owned(), text)
    };
    list.map(one).collect()
}

/// A number, which JSON has as text where it has 64 bits.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Number(number) => number.as_f64().unwrap(),
        // What is 0 is not there.
        Value::Null => 0.0,
        other => panic!("{other}"),
    }
}
