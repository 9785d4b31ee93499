//! The HTTP server: the metrics page, health, readiness. It is read-only; what changes the agent is in `admin`.
//! Every resource that a client can hold is bounded:
//! `connections` says who has to go, `descriptors` how many there may be, `hosts` for which names requests are taken,
//! `compress` when a page goes out in gzip.

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
    descriptors::{Room, room},
    hosts::Hosts,
};
use super::{
    Format,
    progress::{Phase, Progress},
    prometheus::encode,
    timed::Timed,
};
use crate::{finding::Finding, sampler::Sampler, text::printable};

/// Bytes of a request's head, and headers in it.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time, over all listeners. Where one more comes, another has to go.
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
/// If the address cannot be bound, in one line with the mend.
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

/// What [`bind`] finds for each address of a configuration; all are free again once this is over.
pub fn probe(addresses: &[SocketAddr]) -> Vec<Finding> {
    // Held until the last was tried: an address may be there twice, or within another.
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

/// Serves on all listeners until `stop` is over, then lets requests in progress finish.
///
/// # Errors
/// If the runtime does not take a listener.
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
    shared: Arc<Shared>,
    graceful: GracefulShutdown,
    limits: Limits,
}

/// What every connection has a part in.
struct Shared {
    sampler: Arc<Sampler>,
    hosts: Hosts,
    connections: Arc<Connections>,
    /// Large pages are made one after the other.
    large: Arc<Semaphore>,
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
            let progress = Progress::new();
            let (place, another_goes) = self.shared.connections.enter(Arc::clone(&progress));
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
            let number = place.number;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!("a client's connection ended: {error}");
                }
                drop(place);
            });
            self.shared
                .connections
                .served_by(number, task.abort_handle());
            if another_goes {
                // Its descriptor is free before the next one takes one.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The answer to a request for another machine.
fn misdirected(name: &str) -> Page {
    let name = printable(name);
    let text = format!(
        "{name} is no name of this machine; use one of its addresses, or add it to prometheus.allowed_hosts\n"
    );
    plain(StatusCode::MISDIRECTED_REQUEST, text)
}

async fn respond(request: &Request<Incoming>, shared: &Shared) -> Page {
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

/// Pages of more pairs are made beside the thread that serves: a probe of `/-/healthy` waits for no page.
const LARGE: usize = 256;

async fn metrics(request: &Request<Incoming>, shared: &Shared) -> Page {
    let list = |name: HeaderName| {
        let values = request.headers().get_all(name).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let format = Format::negotiate(&list(ACCEPT));
    let gzip = compress::takes_gzip(&list(ACCEPT_ENCODING));
    let snapshot = shared.sampler.snapshot();
    let pairs = snapshot.network.as_ref().map_or(0, |it| it.traffic.len());
    let write = move || -> anyhow::Result<(Bytes, bool)> {
        let text = encode(snapshot, format)?;
        let compressed = if gzip { compress::gzip(&text)? } else { None };
        let is_gzip = compressed.is_some();
        Ok((compressed.map_or_else(|| text.into(), Bytes::from), is_gzip))
    };
    let made = if pairs > LARGE {
        // The semaphore is never closed. It stays taken also where the client goes meanwhile.
        let turn = Arc::clone(&shared.large).acquire_owned().await;
        let made = tokio::task::spawn_blocking(move || (write(), drop(turn)).0);
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
