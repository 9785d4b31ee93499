//! The HTTP server: the metrics page, health, readiness. Every resource that a client can hold is bounded.

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
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{sync::Semaphore, time::timeout};
use tracing::{debug, warn};

use super::prometheus::{Format, encode};
use crate::sampler::Sampler;

/// Connections that are served at one time; more wait in the listener's queue.
const CONNECTIONS: usize = 64;
/// Bytes of a request's head, and headers in it.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// How long a client may take for a request's head; also how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may live: a client that does not read its page cannot hold a place for ever.
const CONNECTION_TIME: Duration = Duration::from_hours(1);
/// How long requests in progress may take once the agent stops.
const DRAIN_TIME: Duration = Duration::from_secs(1);

type Page = Response<Full<Bytes>>;

/// Opens a listener.
///
/// # Errors
/// If the address cannot be bound, in one line with the mend.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let mend = "set prometheus.listen to another address";
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                anyhow::anyhow!("{address} is in use by another program: stop it, or {mend}")
            }
            _ => anyhow::anyhow!("cannot listen on {address}: {error}; {mend}"),
        }
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until `stop` is over, then lets requests in progress finish.
///
/// # Errors
/// If the runtime does not take the listener.
pub async fn serve(
    listener: TcpListener,
    sampler: Arc<Sampler>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors or memory: waiting is all that can help.
                warn!("cannot accept a connection to the metrics page: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let sampler = Arc::clone(&sampler);
        let service = service_fn(move |request| {
            let page = respond(&request, &sampler);
            async { Ok::<_, Infallible>(page) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            match timeout(CONNECTION_TIME, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!("a client's connection ended: {error}"),
                Err(_) => debug!("a client's connection was too long"),
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
        debug!("clients were cut off");
    }
    Ok(())
}

fn respond(request: &Request<Incoming>, sampler: &Sampler) -> Page {
    let path = request.uri().path();
    let resource = match path {
        "/" | "/metrics" | "/-/healthy" | "/-/ready" => path,
        _ => return plain(StatusCode::NOT_FOUND, "not found; see /\n"),
    };
    // hyper leaves the body of an answer to HEAD out by itself.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut page = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        page.headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return page;
    }
    match resource {
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

/// 200 when every enabled source reads, else 503; a line for each.
fn ready(sampler: &Sampler) -> Page {
    let sources = sampler.snapshot().sources;
    let line = |health: &crate::sample::SourceHealth| match &health.down {
        None => format!("{}: up\n", health.source),
        Some(reason) => format!("{}: down: {reason}\n", health.source),
    };
    let ready = sources.iter().all(|health| health.down.is_none());
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    plain(status, sources.iter().map(line).collect::<String>())
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
