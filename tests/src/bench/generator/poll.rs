//! Sockets that one thread waits for together, and how it knows when to stop.

use std::{
    io,
    net::TcpStream,
    os::fd::{AsFd, AsRawFd as _, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// How long to wait before looking whether to stop, in milliseconds.
const LOOK: u8 = 2;

/// Waits for sockets, until told to stop.
pub(super) struct Poll<'a> {
    epoll: Epoll,
    events: [EpollEvent; 64],
    stop: &'a AtomicBool,
}

impl<'a> Poll<'a> {
    pub(super) fn new(stop: &'a AtomicBool) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: [EpollEvent::empty(); 64],
            stop,
        })
    }

    /// Watches a socket until it is closed.
    pub(super) fn add(&self, socket: &impl AsFd, what: EpollFlags) -> io::Result<()> {
        let number = socket.as_fd().as_raw_fd();
        let event = EpollEvent::new(what, u64::from(number.cast_unsigned()));
        Ok(self.epoll.add(socket, event)?)
    }

    /// The descriptors of sockets that are ready now, perhaps none; `None`: time to stop.
    pub(super) fn wait(&mut self) -> io::Result<Option<impl Iterator<Item = RawFd> + use<>>> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let count = match self.epoll.wait(&mut self.events, LOOK) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let ready = self.events;
        let descriptor = |event: EpollEvent| {
            // As `add` put it in.
            RawFd::try_from(event.data()).unwrap_or(-1)
        };
        Ok(Some(ready.into_iter().take(count).map(descriptor)))
    }
}

/// Connections by their descriptor.
#[derive(Default)]
pub(super) struct Connections(Vec<Option<TcpStream>>);

impl Connections {
    pub(super) fn put(&mut self, stream: TcpStream) {
        if let Ok(place) = usize::try_from(stream.as_raw_fd()) {
            if self.0.len() <= place {
                self.0.resize_with(place + 1, || None);
            }
            self.0[place] = Some(stream);
        }
    }

    pub(super) fn get(&self, descriptor: RawFd) -> Option<&TcpStream> {
        self.0.get(usize::try_from(descriptor).ok()?)?.as_ref()
    }

    /// Closes one.
    pub(super) fn close(&mut self, descriptor: RawFd) {
        let place = usize::try_from(descriptor)
            .ok()
            .and_then(|place| self.0.get_mut(place));
        if let Some(place) = place {
            *place = None;
        }
    }
}

/// What of a read or write matters here: how many bytes, `Some(0)` at the end of the connection, `None` when there is
/// nothing to do yet.
pub(super) fn progress(result: io::Result<usize>) -> io::Result<Option<usize>> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, Interrupted, WouldBlock};
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => Ok(None),
        Err(error) if matches!(error.kind(), ConnectionReset | BrokenPipe) => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
