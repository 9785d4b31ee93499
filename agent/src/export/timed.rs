//! A connection with time limits for a request, from its first byte until its answer is sent, and for the pause between
//! two requests. They close connections of clients that send slowly, do not read, or disappear.
//!
//! hyper only has a limit for heads, which includes the pause before a request: an idle connection could not be kept for
//! longer than a head may take.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::progress::{Phase, Progress};

/// A stream with those limits.
pub(super) struct Timed<S> {
    stream: S,
    progress: Arc<Progress>,
    request: Duration,
    pause: Duration,
    state: State,
    clock: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two requests.
    Idle,
    /// Part of a request has come, or the first request of a connection is awaited.
    Asked,
    /// Part of the answer has been sent.
    Answering,
}

impl<S> Timed<S> {
    /// Starts the limit of the first request.
    pub(super) fn new(
        stream: S,
        progress: Arc<Progress>,
        request: Duration,
        pause: Duration,
    ) -> Self {
        Self {
            stream,
            progress,
            request,
            pause,
            state: State::Asked,
            clock: Box::pin(tokio::time::sleep(request)),
        }
    }

    /// Fails once the limit is exceeded; wakes the task then.
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.clock.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let limit = match self.state {
            State::Idle => self.pause,
            State::Asked | State::Answering => self.request,
        };
        let what = format!("{:?} for longer than {} s", self.state, limit.as_secs_f32());
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    }

    fn enter(&mut self, state: State, cx: &mut Context<'_>) -> io::Result<()> {
        let was = std::mem::replace(&mut self.state, state);
        let limit = match (was, state) {
            (_, State::Idle) => self.pause,
            (State::Idle, _) => self.request,
            // The same request.
            _ => return Ok(()),
        };
        self.clock.as_mut().reset(Instant::now() + limit);
        self.in_time(cx)
    }

    fn written(&mut self, count: usize, cx: &mut Context<'_>) -> io::Result<usize> {
        if count > 0 {
            self.enter(State::Answering, cx)?;
        }
        Ok(count)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            if self.state != State::Answering {
                self.progress.enter(Phase::Asking);
            }
            if self.state == State::Idle {
                self.enter(State::Asked, cx)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        Poll::Ready(self.written(count, cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        Poll::Ready(self.written(count, cx))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when a whole answer has been written, so this is the end of an answer. A flush in the middle of one
    /// would only start the limit again.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.state == State::Answering {
            self.progress.enter(Phase::Idle);
            self.enter(State::Idle, cx)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
