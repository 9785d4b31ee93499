//! The client for the commands: one request to the running agent, and its answer or one line of error.

use std::{io, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header::HOST};
use hyper_util::rt::TokioIo;
use nix::unistd::{Gid, Group};
use tokio::{net::UnixStream, time::timeout};

use super::{GPU_RELEASE, LOG_LEVEL};
use crate::{Misconfigured, config::Admin};

/// The time limit of an answer; longer than the server's.
const DEADLINE: Duration = Duration::from_secs(15);
/// The longest answer, in bytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// Returns the level of the log, after changing it if one is given.
///
/// # Errors
/// If there is no agent, permission is missing, or the agent refuses.
pub fn log_level(admin: &Admin, level: Option<&str>) -> anyhow::Result<String> {
    match level {
        Some(level) => ask(admin, Method::PUT, LOG_LEVEL, level),
        None => ask(admin, Method::GET, LOG_LEVEL, ""),
    }
}

/// Makes the agent release its GPUs for a while; returns for how long.
///
/// # Errors
/// If there is no agent, permission is missing, or the agent reads no GPUs.
pub fn gpu_release(admin: &Admin) -> anyhow::Result<String> {
    ask(admin, Method::POST, GPU_RELEASE, "")
}

fn ask(admin: &Admin, method: Method, route: &str, body: &str) -> anyhow::Result<String> {
    let Some(path) = admin.socket.path() else {
        let why = "admin.socket is \"\": this agent has no administration";
        return Err(Misconfigured(why.to_owned()).into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let request = Request::builder()
        .method(method)
        .uri(route)
        .header(HOST, "localhost")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
    // `timeout` needs the runtime's clock.
    let answer = runtime.block_on(async { timeout(DEADLINE, talk(path, request)).await });
    let late = || {
        let (path, seconds) = (path.display(), DEADLINE.as_secs());
        format!("the agent at {path} does not answer within {seconds} s")
    };
    answer.with_context(late)?
}

async fn talk(path: &Path, request: Request<Full<Bytes>>) -> anyhow::Result<String> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|error| anyhow::anyhow!(explain(path, &error)))?;
    let ended = || format!("the agent at {} has ended the connection", path.display());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .with_context(ended)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.with_context(ended)?;
    let status = answer.status();
    let body = Limited::new(answer, ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{}: {error}", ended()))?;
    connection.abort();
    let text = String::from_utf8_lossy(&body.to_bytes())
        .trim_end()
        .to_owned();
    if !status.is_success() {
        bail!("{text}");
    }
    Ok(text)
}

/// Explains why the socket cannot be opened.
fn explain(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no agent listens on {shown}; start one, or name its socket with --admin-socket or --config"
        ),
        io::ErrorKind::PermissionDenied => {
            // In a directory that cannot be searched, the group is unknown.
            let group = std::fs::metadata(path)
                .ok()
                .filter(|data| data.mode() & 0o060 != 0)
                .map(|data| Gid::from_raw(data.gid()));
            match group {
                Some(gid) => {
                    let group = Group::from_gid(gid).ok().flatten();
                    let name = group.map_or_else(|| gid.to_string(), |group| group.name);
                    format!(
                        "no permission to open {shown}: only root and members of the group {name} may"
                    )
                }
                None => format!(
                    "no permission to open {shown}: only root may; for others set admin.group"
                ),
            }
        }
        _ => format!("cannot open {shown}: {error}"),
    }
}
