//! The end that listens: takes what comes, or sends it back. One thread for all connections.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpListener,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::epoll::EpollFlags;

use super::poll::{Connections, Poll, progress};

/// What to do with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing.
    Silence,
    /// The same.
    Echo,
}

/// Serves until the poll says stop; adds each byte that comes to `received`.
pub(super) fn serve(
    listener: &TcpListener,
    reply: Reply,
    mut poll: Poll<'_>,
    received: &AtomicU64,
) -> io::Result<()> {
    let mut connections = Connections::default();
    let mut buffer = vec![0; 256 * 1024];
    poll.add(listener, EpollFlags::EPOLLIN)?;
    while let Some(ready) = poll.wait()? {
        for descriptor in ready {
            if descriptor == listener.as_raw_fd() {
                let (stream, _) = listener.accept()?;
                poll.add(&stream, EpollFlags::EPOLLIN)?;
                connections.put(stream);
                continue;
            }
            let Some(mut stream) = connections.get(descriptor) else {
                continue;
            };
            match progress(stream.read(&mut buffer))? {
                Some(0) => connections.close(descriptor),
                Some(count) => {
                    // The only writer of this counter.
                    received.fetch_add(count as u64, Ordering::Relaxed);
                    if reply == Reply::Echo {
                        progress(stream.write(&buffer[..count]))?;
                    }
                }
                None => {}
            }
        }
    }
    Ok(())
}
