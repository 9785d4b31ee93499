//! The server on the administration socket. Clients get a few connections at a time, each for one short request and a short
//! time.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use nix::unistd::Gid;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tracing::{debug, info, warn};

use super::{GPU_RELEASE, LOG_LEVEL, peer::Peer, socket::Socket};
use crate::{
    config::{level_name, level_named},
    log::{Logging, SECURITY},
    sampler::Sampler,
};

/// The number of connections at a time; more wait in the listener's queue.
const CONNECTIONS: usize = 8;
/// The time limit of a connection. Releasing the GPUs waits up to a second for calls in progress.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest head of a request in bytes, and its number of headers.
const HEAD_BYTES: usize = 8 * 1024;
const HEADERS: usize = 32;
/// The longest body of a request, in bytes.
const BODY_BYTES: usize = 64;

type Answer = Response<Full<Bytes>>;

struct Server {
    sampler: Arc<Sampler>,
    logging: Arc<Logging>,
    group: Option<Gid>,
}

/// Serves until the future is dropped.
///
/// # Errors
/// If the runtime does not take the socket.
pub async fn serve(
    socket: &Socket,
    sampler: Arc<Sampler>,
    logging: Arc<Logging>,
) -> io::Result<Infallible> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let server = Arc::new(Server {
        sampler,
        logging,
        group: socket.group,
    });
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors or memory: only waiting helps.
                warn!("cannot accept an administration connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            if timeout(DEADLINE, server.talk(stream)).await.is_err() {
                debug!("an administration client exceeded the time limit");
            }
            drop(permit);
        });
    }
}

impl Server {
    async fn talk(self: Arc<Self>, stream: UnixStream) {
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                debug!("cannot identify an administration client: {error}");
                return;
            }
        };
        let service = service_fn(move |request| {
            let (server, peer) = (Arc::clone(&self), peer.clone());
            async move { Ok::<_, Infallible>(server.respond(request, &peer).await) }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .keep_alive(false)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            debug!("an administration connection ended: {error}");
        }
    }

    async fn respond(&self, request: Request<Incoming>, peer: &Peer) -> Answer {
        if !peer.may_administer(self.group) {
            warn!(
                target: SECURITY,
                uid = peer.uid(),
                security.level = "warning",
                "a user who may not administer the agent has opened its socket; see its permissions"
            );
            let text = "only root and the group of admin.group may administer the agent";
            return answer(StatusCode::FORBIDDEN, text);
        }
        match (request.uri().path(), request.method()) {
            (LOG_LEVEL, &Method::GET) => self.log_level(),
            (LOG_LEVEL, &Method::PUT) => self.set_log_level(request, peer).await,
            (LOG_LEVEL, _) => only("GET, PUT"),
            (GPU_RELEASE, &Method::POST) => self.release_gpus(peer).await,
            (GPU_RELEASE, _) => only("POST"),
            _ => answer(
                StatusCode::NOT_FOUND,
                "unknown request; is the agent of the same version?",
            ),
        }
    }

    fn log_level(&self) -> Answer {
        answer(StatusCode::OK, level_name(self.logging.level()))
    }

    async fn set_log_level(&self, request: Request<Incoming>, peer: &Peer) -> Answer {
        let Ok(body) = Limited::new(request, BODY_BYTES).collect().await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, "send one word");
        };
        let body = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
        let level = match level_named(&body) {
            Ok(level) => level,
            Err(wrong) => return answer(StatusCode::BAD_REQUEST, wrong),
        };
        let cause = format!("requested by {peer}; until the configuration is read again");
        match self.logging.set_level(level, &cause) {
            Ok(()) => self.log_level(),
            Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
        }
    }

    /// Releases the GPUs, on another thread, since that waits for calls in progress.
    async fn release_gpus(&self, peer: &Peer) -> Answer {
        let off = || {
            answer(
                StatusCode::NOT_FOUND,
                "the agent reads no GPUs: gpu.enabled is false",
            )
        };
        if !self.sampler.has_gpus() {
            return off();
        }
        info!(
            target: SECURITY,
            uid = peer.uid(),
            security.level = "info",
            "the GPUs are released: requested by {peer}"
        );
        let sampler = Arc::clone(&self.sampler);
        let released = tokio::task::spawn_blocking(move || sampler.release_gpus()).await;
        match released {
            Ok(Some(time)) => answer(
                StatusCode::OK,
                format!("the GPUs are released for {} s", time.as_secs()),
            ),
            _ => off(),
        }
    }
}

fn only(methods: &'static str) -> Answer {
    let mut answer = answer(StatusCode::METHOD_NOT_ALLOWED, format!("only {methods}"));
    let methods = HeaderValue::from_static(methods);
    answer.headers_mut().insert(ALLOW, methods);
    answer
}

fn answer(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.into() + "\n")));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
