//! The HTTP server: the metrics page, health and readiness. It is read-only; `admin` changes the agent. Clients' resources
//! are bounded: `descriptors` limits the connections, `connections` chooses which to close, `hosts` checks the names of
//! requests, `compress` compresses pages.

mod compress;
mod connections;
mod descriptors;
mod hosts;
mod ready;

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
    body::{Body as _, Incoming},
    header::{
        ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName,
        HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tracing::{debug, warn};

use self::{connections::Connections, ready::ready};
pub use self::{
    descriptors::{ClientLimit, client_limit},
    hosts::Hosts,
};
use super::{
    Format,
    progress::{Phase, Progress},
    prometheus::encode,
    timed::Timed,
};
use crate::{finding::Finding, sampler::Sampler, text::printable};

/// The longest head of a request in bytes, and its number of headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// Limits for clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time, over all listeners. One more closes another.
    pub connections: usize,
    /// The time limit of a request, from its first byte, or from the start of a new connection, until the answer is sent.
    pub request: Duration,
    /// How long a connection may be idle; longer than the usual scrape interval.
    pub pause: Duration,
    /// The time limit of requests in progress when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
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
/// If the address cannot be bound, in one line with the help.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is in use; help: stop the other program, or set prometheus.listen")
        }
        io::ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "{} is no address of this machine; help: set prometheus.listen to one that is",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "no permission to listen on {address}; help: set prometheus.listen to a port of 1024 or above, or give \
             CAP_NET_BIND_SERVICE"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; help: set prometheus.listen"),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Tries [`bind`] for each address, and frees them again.
pub fn probe(addresses: &[SocketAddr]) -> Vec<Finding> {
    // All are held until the last is tried: addresses may be equal or overlap.
    let tried: Vec<_> = addresses.iter().map(|it| (it, bind(*it))).collect();
    let finding = |(address, outcome): &(&SocketAddr, anyhow::Result<TcpListener>)| {
        let result = match outcome {
            Ok(_) => Ok(format!("{address} is free")),
            Err(error) => Err(error.to_string()),
        };
        Finding::required("metrics page", result)
    };
    tried.iter().map(finding).collect()
}

/// Serves on all listeners until `stop` completes, then lets requests in progress finish.
///
/// # Errors
/// If the runtime rejects a listener.
pub async fn serve(
    listeners: Vec<TcpListener>,
    sampler: Arc<Sampler>,
    hosts: Hosts,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = Arc::new(Server {
        shared: Arc::new(Shared {
            sampler,
            hosts,
            connections: Arc::new(Connections::new(limits.connections)),
            large: Arc::new(Semaphore::new(1)),
        }),
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
    // The tasks that held the other references have ended.
    if let Some(server) = Arc::into_inner(server) {
        let drained = timeout(limits.drain, server.graceful.shutdown()).await;
        if drained.is_err() {
            debug!("clients were cut off");
        }
    }
    Ok(())
}

struct Server {
    shared: Arc<Shared>,
    graceful: GracefulShutdown,
    limits: Limits,
}

/// Shared by all connections.
struct Shared {
    sampler: Arc<Sampler>,
    hosts: Hosts,
    connections: Arc<Connections>,
    /// Large pages are encoded one at a time.
    large: Arc<Semaphore>,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: tokio::net::TcpListener) {
        loop {
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or memory: only waiting helps.
                    warn!("cannot accept a connection to the metrics page: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let progress = Progress::new();
            let (guard, closed_another) = self.shared.connections.enter(Arc::clone(&progress));
            let shared = Arc::clone(&self.shared);
            let to = stream.local_addr().ok();
            let doing = Arc::clone(&progress);
            let service = service_fn(move |request: Request<Incoming>| {
                doing.enter(Phase::Answered);
                let (shared, doing) = (Arc::clone(&shared), Arc::clone(&doing));
                async move {
                    let page = match shared.hosts.check(request.uri(), request.headers(), to) {
                        Ok(()) => respond(&request, &shared).await,
                        Err(name) => misdirected(&name),
                    };
                    let bytes = page.body().size_hint().exact().unwrap_or(0);
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    shared.connections.hold(&doing, bytes);
                    Ok::<_, Infallible>(page)
                }
            });
            let Limits { request, pause, .. } = self.limits;
            let timed = Timed::new(stream, progress, request, pause);
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(timed), service);
            let connection = self.graceful.watch(connection);
            let number = guard.number;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!("a client's connection ended: {error}");
                }
                drop(guard);
            });
            self.shared
                .connections
                .served_by(number, task.abort_handle());
            if closed_another {
                // Frees its descriptor before the next one is accepted.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The answer to a request for another host.
fn misdirected(name: &str) -> Page {
    let name = printable(name);
    let text = format!(
        "{name} is not a name of this machine; help: use one of its addresses, or add it to prometheus.allowed_hosts\n"
    );
    plain(StatusCode::MISDIRECTED_REQUEST, text)
}

async fn respond(request: &Request<Incoming>, shared: &Shared) -> Page {
    let path = request.uri().path();
    let allowed: &[Method] = match path {
        "/" | "/metrics" | "/-/healthy" | "/-/ready" => &[Method::GET, Method::HEAD],
        _ => return plain(StatusCode::NOT_FOUND, "not found; see /\n"),
    };
    // hyper omits the body of an answer to HEAD.
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
        "/metrics" => metrics(request, shared).await,
        "/-/healthy" => plain(StatusCode::OK, "healthy\n"),
        "/-/ready" => ready(&shared.sampler),
        _ => page(
            StatusCode::OK,
            "text/html; charset=utf-8",
            include_str!("index.html"),
        ),
    }
}

/// Pages with more pairs are encoded on another thread, so that a probe of `/-/healthy` does not wait for them.
const LARGE: usize = 256;

async fn metrics(request: &Request<Incoming>, shared: &Shared) -> Page {
    let list = |name: HeaderName| {
        let values = request.headers().get_all(name).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let format = Format::negotiate(&list(ACCEPT));
    let gzip = compress::accepts_gzip(&list(ACCEPT_ENCODING));
    let snapshot = shared.sampler.snapshot();
    let pairs = snapshot.network.as_ref().map_or(0, |it| it.traffic.len());
    let write = move || -> anyhow::Result<(Bytes, bool)> {
        let text = encode(snapshot, format)?;
        let compressed = if gzip { compress::gzip(&text)? } else { None };
        let is_gzip = compressed.is_some();
        Ok((compressed.map_or_else(|| text.into(), Bytes::from), is_gzip))
    };
    let made = if pairs > LARGE {
        // An error is impossible: the semaphore is never closed. The permit is kept even if the client disconnects.
        let permit = Arc::clone(&shared.large).acquire_owned().await;
        let made = tokio::task::spawn_blocking(move || (write(), drop(permit)).0);
        made.await.unwrap_or_else(|error| Err(error.into()))
    } else {
        write()
    };
    let (body, is_gzip) = match made {
        Ok(made) => made,
        Err(error) => {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
    };
    let mut page = page(StatusCode::OK, format.content_type(), body);
    let headers = page.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    page
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
