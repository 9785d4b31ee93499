//! Ways that do not copy, or that other threads of the kernel finish.

use super::*;

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn sendfile() {
    moves(
        10_000_000,
        |socket, amount| {
            let file = memory_file(amount);
            all(amount, |left| {
                let count = usize::try_from(left).unwrap();
                // SAFETY: both descriptors are open; the file's own position is used.
                moved(unsafe {
                    libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), ptr::null_mut(), count)
                })
            })
        },
        read,
    );
}

/// A file of so many bytes that is nowhere.
fn memory_file(size: u64) -> std::fs::File {
    // SAFETY: a name that ends with 0; the descriptor is new.
    let file = unsafe { std::fs::File::from_raw_fd(libc::memfd_create(c"data".as_ptr(), 0)) };
    file.set_len(size).unwrap();
    file
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are new.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, count: usize) -> io::Result<u64> {
    // SAFETY: both are open; neither offset is given.
    moved(unsafe {
        libc::splice(
            from.as_raw_fd(),
            ptr::null_mut(),
            to.as_raw_fd(),
            ptr::null_mut(),
            count,
            libc::SPLICE_F_MOVE,
        )
    })
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn splice_both_ways() {
    moves(
        5_000_000,
        |socket, amount| {
            let (out, into) = pipe();
            let file = memory_file(amount);
            all(amount, |left| {
                let filled = splice(&file, &into, chunk(left))?;
                Ok(all(filled, |left| splice(&out, socket, chunk(left))))
            })
        },
        |socket, amount| {
            let (out, into) = pipe();
            let mut data = vec![0; CHUNK];
            let mut out = std::fs::File::from(out);
            all(amount, |left| {
                let filled = splice(socket, &into, chunk(left))?;
                Ok(all(filled, |left| {
                    out.read(&mut data[..chunk(left)]).map(|bytes| bytes as u64)
                }))
            })
        },
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn msg_zerocopy() {
    moves(
        10_000_000,
        |socket, amount| {
            let one: libc::c_int = 1;
            // SAFETY: an int, as the option wants.
            let set = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_ZEROCOPY,
                    (&raw const one).cast(),
                    4,
                )
            };
            assert_eq!(set, 0);
            let data = vec![7_u8; CHUNK];
            all(amount, |left| {
                // SAFETY: the buffer outlives the connection's use of it: its content does not matter.
                let result = moved(unsafe {
                    libc::send(
                        socket.as_raw_fd(),
                        data.as_ptr().cast(),
                        chunk(left),
                        libc::MSG_ZEROCOPY,
                    )
                });
                // Out of room for notifications: take them.
                if result
                    .as_ref()
                    .is_err_and(|error| error.raw_os_error() == Some(libc::ENOBUFS))
                {
                    drain_notifications(socket);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                result
            })
        },
        read,
    );
}

fn drain_notifications(socket: &TcpStream) {
    let mut control = [0_u8; 256];
    // SAFETY: a message with room for control data only.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.len();
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut message,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        );
    }
}

/// Moves bytes through a ring, one request at a time.
fn ring(amount: u64, entry: impl Fn(u32) -> io_uring::squeue::Entry) -> u64 {
    let mut ring = IoUring::new(4).unwrap();
    all(amount, |left| {
        let entry = entry(u32::try_from(chunk(left)).unwrap());
        // SAFETY: the buffer in the entry outlives the wait for its completion.
        unsafe { ring.submission().push(&entry).unwrap() };
        ring.submit_and_wait(1).unwrap();
        let result = ring.completion().next().unwrap().result();
        u64::try_from(result).map_err(|_negative| io::Error::from_raw_os_error(-result))
    })
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn io_uring() {
    moves(
        10_000_000,
        |socket, amount| {
            let data = vec![7_u8; CHUNK];
            let half = ring(amount / 2, |length| {
                opcode::Send::new(Fd(socket.as_raw_fd()), data.as_ptr(), length).build()
            });
            half + ring(amount - half, |length| {
                opcode::Write::new(Fd(socket.as_raw_fd()), data.as_ptr(), length).build()
            })
        },
        |socket, amount| {
            let mut data = vec![0_u8; CHUNK];
            let place = data.as_mut_ptr();
            ring(amount, |length| {
                opcode::Recv::new(Fd(socket.as_raw_fd()), place, length).build()
            })
        },
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn tcp_zerocopy_receive() {
    /// `struct tcp_zerocopy_receive` of include/uapi/linux/tcp.h, as far as Linux 5.11 knows it.
    #[repr(C)]
    #[derive(Default)]
    struct ZerocopyReceive {
        address: u64,
        length: u32,
        recv_skip_hint: u32,
        inq: u32,
        err: i32,
        copybuf_address: u64,
        copybuf_len: i32,
        flags: u32,
    }
    const TCP_ZEROCOPY_RECEIVE: libc::c_int = 35;
    let receive: Receive = |socket, amount| {
        let fd = socket.as_raw_fd();
        let room = CHUNK * 16;
        // SAFETY: a mapping of the socket's own, only ever replaced by the kernel.
        let pages = unsafe {
            libc::mmap(
                ptr::null_mut(),
                room,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        assert_ne!(pages, libc::MAP_FAILED);
        let mut data = vec![0; CHUNK];
        let mut mapped = 0;
        let received = all(amount, |left| {
            let length = u32::try_from(room).unwrap();
            let mut zerocopy = ZerocopyReceive {
                address: pages as u64,
                length,
                ..ZerocopyReceive::default()
            };
            let mut size = libc::socklen_t::try_from(size_of::<ZerocopyReceive>()).unwrap();
            // SAFETY: the structure is as long as said, the pages are mapped.
            let result = unsafe {
                libc::getsockopt(
                    fd,
                    libc::IPPROTO_TCP,
                    TCP_ZEROCOPY_RECEIVE,
                    (&raw mut zerocopy).cast(),
                    &raw mut size,
                )
            };
            assert_eq!(result, 0, "{}", io::Error::last_os_error());
            mapped += u64::from(zerocopy.length);
            if zerocopy.length > 0 {
                return Ok(u64::from(zerocopy.length));
            }
            // What is not page by page has to be read.
            let hint = chunk(left).min((zerocopy.recv_skip_hint as usize).max(1));
            (&mut &*socket)
                .read(&mut data[..hint])
                .map(|bytes| bytes as u64)
        });
        eprintln!("{mapped} of {received} bytes were mapped, not copied");
        // SAFETY: what was mapped above.
        unsafe { libc::munmap(pages, room) };
        received
    };
    moves(
        20_000_000,
        |socket, amount| {
            // Whole pages in each segment are what can be mapped.
            with_flags(socket, amount, CHUNK, 0)
        },
        receive,
    );
}
