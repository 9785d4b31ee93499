//! The HTTP server: the metrics page, health, readiness. It is read-only; what changes the agent is in `admin`. Every resource that a client can hold is bounded.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tracing::{debug, warn};

use super::{Format, prometheus::encode, timed::Timed};
use crate::{
    sample::{FailureKind, SourceHealth},
    sampler::Sampler,
};

/// Bytes of a request's head, and headers in it.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are served at one time, over all listeners; more wait in the listeners' queues. Once
    /// half of them are taken, a connection ends with its answer, so that idle ones cannot take them all.
    pub connections: usize,
    /// How long a request may take, from its first byte (of a new connection: from its start) until the answer
    /// is sent.
    pub request: Duration,
    /// How long a connection is kept between two requests; longer than scrapers usually wait.
    pub pause: Duration,
    /// How long requests in progress may still take once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            request: Duration::from_secs(10),
            pause: Duration::from_secs(90),
            drain: Duration::from_secs(1),
        }
    }
}

type Page = Response<Full<Bytes>>;

/// Opens a listener.
///
/// # Errors
/// If the address cannot be bound, in one line with the mend.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is in use: stop the other program, or set prometheus.listen")
        }
        io::ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "{} is no address of this machine: set prometheus.listen to one that is",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "no permission to listen on {address}: set prometheus.listen to a port of 1024 or above"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; set prometheus.listen"),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves on all listeners until `stop` is over, then lets requests in progress finish.
///
/// # Errors
/// If the runtime does not take a listener.
pub async fn serve(
    listeners: Vec<TcpListener>,
    sampler: Arc<Sampler>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = Arc::new(Server {
        sampler,
        places: Arc::new(Semaphore::new(limits.connections)),
        graceful: GracefulShutdown::new(),
        limits,
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        accepting.spawn(Arc::clone(&server).accept(listener));
    }
    stop.await;
    accepting.shutdown().await;
    // The tasks that held the others are over.
    if let Some(server) = Arc::into_inner(server) {
        let drained = timeout(limits.drain, server.graceful.shutdown()).await;
        if drained.is_err() {
            debug!("clients were cut off");
        }
    }
    Ok(())
}

struct Server {
    sampler: Arc<Sampler>,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
    limits: Limits,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: tokio::net::TcpListener) {
        loop {
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or memory: waiting is all that can help.
                    warn!("cannot accept a connection to the metrics page: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // The semaphore is never closed; if it were, nothing more could be served.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            let Limits {
                connections,
                request,
                pause,
                ..
            } = self.limits;
            let (sampler, places) = (Arc::clone(&self.sampler), Arc::clone(&self.places));
            let service = service_fn(move |request| {
                let close = places.available_permits() < connections / 2;
                let sampler = Arc::clone(&sampler);
                async move {
                    let mut page = respond(&request, &sampler);
                    if close {
                        let close = HeaderValue::from_static("close");
                        page.headers_mut().insert(CONNECTION, close);
                    }
                    Ok::<_, Infallible>(page)
                }
            });
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(Timed::new(stream, request, pause)), service);
            let connection = self.graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!("a client's connection ended: {error}");
                }
                drop(place);
            });
        }
    }
}

fn respond(request: &Request<Incoming>, sampler: &Sampler) -> Page {
    let path = request.uri().path();
    let allowed: &[Method] = match path {
        "/" | "/metrics" | "/-/healthy" | "/-/ready" => &[Method::GET, Method::HEAD],
        _ => return plain(StatusCode::NOT_FOUND, "not found; see /\n"),
    };
    // hyper leaves the body of an answer to HEAD out by itself.
    if !allowed.contains(request.method()) {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let text = format!("only {}\n", names.join(" and "));
        let mut page = plain(StatusCode::METHOD_NOT_ALLOWED, text);
        if let Ok(allowed) = HeaderValue::from_str(&names.join(", ")) {
            page.headers_mut().insert(ALLOW, allowed);
        }
        return page;
    }
    match path {
        "/metrics" => metrics(request, sampler),
        "/-/healthy" => plain(StatusCode::OK, "healthy\n"),
        "/-/ready" => ready(sampler),
        _ => page(
            StatusCode::OK,
            "text/html; charset=utf-8",
            include_str!("index.html"),
        ),
    }
}

fn metrics(request: &Request<Incoming>, sampler: &Sampler) -> Page {
    let accept = request
        .headers()
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let format = Format::negotiate(&accept.collect::<Vec<_>>().join(","));
    match encode(sampler.snapshot(), format) {
        Ok(text) => page(StatusCode::OK, format.content_type(), text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// 200 when every enabled source reads, or what it would read is not there, else 503; a line for each, and for each
/// part of one that goes without.
fn ready(sampler: &Sampler) -> Page {
    let snapshot = sampler.snapshot();
    let sources = &snapshot.sources;
    let line = |health: &SourceHealth| match &health.down {
        None => format!("{}: up\n", health.source),
        Some(reason) if health.kind == Some(FailureKind::Absent) => {
            format!("{}: absent: {reason}\n", health.source)
        }
        Some(reason) => format!("{}: down: {reason}\n", health.source),
    };
    let ready = sources
        .iter()
        .all(|health| matches!(health.kind, None | Some(FailureKind::Absent)));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let limits = snapshot.network.iter().flat_map(|network| &network.limits);
    let limits = limits.map(|limit| format!("network: limited: {limit}\n"));
    let ledger = snapshot.ledger.iter().map(|ledger| {
        let lines = ledger.problems.iter();
        let lines = lines.map(|problem| format!("ledger: limited: {problem}\n"));
        let lines = lines.collect::<String>();
        if lines.is_empty() {
            "ledger: up\n".to_owned()
        } else {
            lines
        }
    });
    let lines = sources.iter().map(line).chain(limits).chain(ledger);
    plain(status, lines.collect::<String>())
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Page {
    page(status, "text/plain; charset=utf-8", text)
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}

#[cfg(test)]
mod tests;
