//! The end that connects, in its three ways. One thread for all connections.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use nix::sys::epoll::EpollFlags;

use super::{
    super::statistics::figure,
    poll::{Connections, Poll, progress},
};

/// A request, and its answer.
const MESSAGE: [u8; 64] = [7; 64];

/// Where to, over how many connections at a time.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    /// How many in a second, at most.
    pub(super) rate: Option<u32>,
    /// Counts those that were opened.
    pub(super) opened: &'a AtomicU64,
}

impl Target<'_> {
    /// Blocking: on loopback a connection is established when the call returns.
    fn connect(self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    fn connect_nonblocking(self) -> io::Result<TcpStream> {
        let stream = self.connect()?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Whether the next one is due.
    fn is_due(self, began: Instant) -> bool {
        self.rate.is_none_or(|rate| {
            let due = began.elapsed().as_secs_f64() * f64::from(rate);
            figure(self.opened.load(Ordering::Relaxed)) < due
        })
    }
}

/// Writes as much as goes.
pub(super) fn stream(target: Target<'_>, mut poll: Poll<'_>) -> io::Result<()> {
    let block = vec![7; 128 * 1024];
    let mut connections = Connections::default();
    for _ in 0..target.connections {
        let stream = target.connect_nonblocking()?;
        poll.add(&stream, EpollFlags::EPOLLOUT)?;
        connections.put(stream);
    }
    while let Some(ready) = poll.wait()? {
        for descriptor in ready {
            if let Some(mut stream) = connections.get(descriptor) {
                progress(stream.write(&block))?;
            }
        }
    }
    Ok(())
}

/// Sends a message over every connection, and the next when the answer has come; counts answers.
pub(super) fn ping_pong(
    target: Target<'_>,
    mut poll: Poll<'_>,
    answers: &AtomicU64,
) -> io::Result<()> {
    let mut connections = Connections::default();
    for _ in 0..target.connections {
        let mut stream = target.connect_nonblocking()?;
        poll.add(&stream, EpollFlags::EPOLLIN)?;
        stream.write_all(&MESSAGE)?;
        connections.put(stream);
    }
    while let Some(ready) = poll.wait()? {
        for descriptor in ready {
            if answered(&connections, descriptor)?
                && let Some(mut stream) = connections.get(descriptor)
            {
                answers.fetch_add(1, Ordering::Relaxed);
                stream.write_all(&MESSAGE)?;
            }
        }
    }
    Ok(())
}

/// Connects, sends a message, waits for the answer, closes, and again, not faster than asked; counts answers.
pub(super) fn connect(
    target: Target<'_>,
    mut poll: Poll<'_>,
    answers: &AtomicU64,
) -> io::Result<()> {
    let mut connections = Connections::default();
    let began = Instant::now();
    let mut open = 0;
    loop {
        while open < target.connections && target.is_due(began) {
            let mut stream = target.connect()?;
            stream.write_all(&MESSAGE)?;
            poll.add(&stream, EpollFlags::EPOLLIN)?;
            connections.put(stream);
            open += 1;
        }
        let Some(ready) = poll.wait()? else {
            return Ok(());
        };
        for descriptor in ready {
            if answered(&connections, descriptor)? {
                answers.fetch_add(1, Ordering::Relaxed);
                connections.close(descriptor);
                open -= 1;
            }
        }
    }
}

/// Takes an answer in, if there is one. A message this short comes whole.
fn answered(connections: &Connections, descriptor: i32) -> io::Result<bool> {
    let Some(mut stream) = connections.get(descriptor) else {
        return Ok(false);
    };
    debug_assert_eq!(stream.as_raw_fd(), descriptor);
    match progress(stream.read(&mut [0; MESSAGE.len()]))? {
        Some(count) if count == MESSAGE.len() => Ok(true),
        Some(count) => {
            let error = format!("{count} bytes came of an answer of {}", MESSAGE.len());
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))
        }
        None => Ok(false),
    }
}
