//! An HTTP client that does one thing: ask one address for one path again and again over one connection, as a
//! Prometheus server does.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// The exposition format to ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    OpenMetrics,
    Text,
}

impl Format {
    pub(super) const ALL: [Self; 2] = [Self::OpenMetrics, Self::Text];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenMetrics => "OpenMetrics",
            Self::Text => "text",
        }
    }

    fn accept(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0",
            Self::Text => "text/plain; version=0.0.4",
        }
    }
}

/// One connection to the metrics page, opened again when the server has closed it.
pub(super) struct Client {
    address: SocketAddr,
    request: Vec<u8>,
    stream: Option<TcpStream>,
    received: Received,
    /// Connections opened so far.
    pub(super) connections: u64,
}

impl Client {
    pub(super) fn new(address: SocketAddr, format: Format) -> Self {
        let accept = format.accept();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n");
        Self {
            address,
            request: request.into_bytes(),
            stream: None,
            received: Received::default(),
            connections: 0,
        }
    }

    /// Asks once and returns the body, whole.
    pub(super) fn scrape(&mut self) -> anyhow::Result<&[u8]> {
        let reused = self.stream.is_some();
        let body = match self.exchange() {
            Ok(body) => body,
            // The server may close a connection that it has kept long enough just as we ask.
            Err(_) if reused => {
                self.stream = None;
                self.exchange()?
            }
            Err(error) => return Err(error),
        };
        Ok(&self.received.memory[body])
    }

    fn exchange(&mut self) -> anyhow::Result<std::ops::Range<usize>> {
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2))
                .with_context(|| format!("cannot connect to the agent at {}", self.address))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            self.connections += 1;
            self.stream.insert(stream)
        };
        stream.write_all(&self.request)?;
        self.received.filled = 0;
        let head = loop {
            self.received.read_more(stream)?;
            if let Some(end) = find(self.received.bytes(), b"\r\n\r\n") {
                break end;
            }
        };
        let text = str::from_utf8(&self.received.bytes()[..head])
            .context("the reply's head is no text")?;
        if !text.starts_with("HTTP/1.1 200 ") {
            bail!(
                "the agent answers {:?}",
                text.lines().next().unwrap_or_default()
            );
        }
        let length: usize = header(text, "content-length")
            .context("the reply has no Content-Length")?
            .parse()?;
        let last = header(text, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        let body = head + 4..head + 4 + length;
        while self.received.filled < body.end {
            self.received.read_more(stream)?;
        }
        if last {
            self.stream = None;
        }
        Ok(body)
    }
}

/// What has come of a reply; its memory is kept from one to the next.
#[derive(Default)]
struct Received {
    memory: Vec<u8>,
    filled: usize,
}

impl Received {
    fn read_more(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if self.memory.len() - self.filled < 64 * 1024 {
            self.memory.resize(2 * self.memory.len() + 128 * 1024, 0);
        }
        match stream.read(&mut self.memory[self.filled..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled += count;
                Ok(())
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
