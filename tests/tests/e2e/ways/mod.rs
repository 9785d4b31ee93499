//! Every way to move bytes. A sends by one way while B receives by another; both count what the system calls say.

mod zero_copy;

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::fd::{AsRawFd, FromRawFd as _, OwnedFd},
    ptr, thread,
};

use io_uring::{IoUring, opcode, types::Fd};
use socket2::SockRef;

use crate::support::{Agent, Lab};

type Send = fn(&TcpStream, u64) -> u64;
type Receive = fn(&TcpStream, u64) -> u64;

const CHUNK: usize = 64 * 1024;

/// Moves `amount` bytes from A to B and a few back, and compares: while the connection is open, and once it is
/// closed.
fn moves(amount: u64, send: Send, receive: Receive) {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let (a, b) = lab.connection();
    let (wrote, got) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&b, amount));
        (send(&a, amount), receiver.join().unwrap())
    });
    assert_eq!(
        (wrote, got),
        (amount, amount),
        "what the programs wrote and read"
    );
    (&b).write_all(b"thank you").unwrap();
    (&a).read_exact(&mut [0; 9]).unwrap();
    agent.expect_moved_live(&lab, amount, 9);
    drop((a, b));
    agent.expect_moved(amount, 9);
}

fn chunk(left: u64) -> usize {
    usize::try_from(left).unwrap().min(CHUNK)
}

/// The result of a system call that moves bytes.
fn moved(result: isize) -> io::Result<u64> {
    u64::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// Repeats a call that moves some bytes of what is left until all is moved; EAGAIN waits.
fn all(amount: u64, mut some: impl FnMut(u64) -> io::Result<u64>) -> u64 {
    let mut left = amount;
    while left > 0 {
        match some(left) {
            Ok(0) => break,
            Ok(bytes) => left -= bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    amount - left
}

fn write(socket: &TcpStream, amount: u64) -> u64 {
    let data = vec![7; CHUNK];
    all(amount, |left| {
        (&mut &*socket)
            .write(&data[..chunk(left)])
            .map(|bytes| bytes as u64)
    })
}

fn read(socket: &TcpStream, amount: u64) -> u64 {
    let mut data = vec![0; CHUNK];
    all(amount, |left| {
        (&mut &*socket)
            .read(&mut data[..chunk(left)])
            .map(|bytes| bytes as u64)
    })
}

fn with_flags(socket: &TcpStream, amount: u64, size: usize, flags: libc::c_int) -> u64 {
    let data = vec![7_u8; size];
    all(amount, |left| {
        let length = chunk(left).min(size);
        // SAFETY: the buffer is as long as said.
        moved(unsafe { libc::send(socket.as_raw_fd(), data.as_ptr().cast(), length, flags) })
    })
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn blocking() {
    moves(20_000_000, write, read);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn non_blocking_partial_writes() {
    moves(
        20_000_000,
        |socket, amount| {
            SockRef::from(socket)
                .set_send_buffer_size(8 * 1024)
                .unwrap();
            socket.set_nonblocking(true).unwrap();
            let (mut refused, mut partial) = (0, 0);
            let data = vec![7; CHUNK];
            let sent = all(amount, |left| {
                let wanted = chunk(left);
                let result = (&mut &*socket).write(&data[..wanted]);
                refused += u32::from(result.is_err());
                partial += u32::from(result.as_ref().is_ok_and(|bytes| *bytes < wanted));
                result.map(|bytes| bytes as u64)
            });
            socket.set_nonblocking(false).unwrap();
            assert!(
                refused > 0 && partial > 0,
                "EAGAIN {refused} times, partial {partial} times"
            );
            sent
        },
        |socket, amount| {
            socket.set_nonblocking(true).unwrap();
            let received = read(socket, amount);
            socket.set_nonblocking(false).unwrap();
            received
        },
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn writev() {
    moves(
        10_000_000,
        |socket, amount| {
            let parts = [vec![1; 1], vec![2; 1499], vec![3; 30_000]];
            all(amount, |left| {
                let mut left = left;
                let slices: Vec<io::IoSlice<'_>> = parts
                    .iter()
                    .map(|part| {
                        let take = part.len().min(chunk(left));
                        left -= take as u64;
                        io::IoSlice::new(&part[..take])
                    })
                    .collect();
                (&mut &*socket)
                    .write_vectored(&slices)
                    .map(|bytes| bytes as u64)
            })
        },
        read,
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn sendmmsg() {
    moves(
        8_000_000,
        |socket, amount| {
            let mut data = [7_u8; 1000];
            let mut part = libc::iovec {
                iov_base: data.as_mut_ptr().cast(),
                iov_len: data.len(),
            };
            // SAFETY: plain data; all zero is a message without anything.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = &raw mut part;
            message.msg_hdr.msg_iovlen = 1;
            let mut messages = [message; 16];
            all(amount, |_| {
                // SAFETY: sixteen messages of one part each, all alive.
                let count =
                    unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), 16, 0) };
                let count =
                    usize::try_from(count).map_err(|_negative| io::Error::last_os_error())?;
                Ok(messages[..count]
                    .iter()
                    .map(|message| u64::from(message.msg_len))
                    .sum())
            })
        },
        read,
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn msg_more() {
    moves(
        3_000_000,
        |socket, amount| {
            let sent = with_flags(socket, amount - 1, 100, libc::MSG_MORE);
            sent + with_flags(socket, 1, 1, 0)
        },
        read,
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn msg_waitall_of_100_mb() {
    moves(100_000_000, write, |socket, amount| {
        let mut data = vec![0_u8; usize::try_from(amount).unwrap()];
        // SAFETY: the buffer is as long as said.
        let result = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                data.as_mut_ptr().cast(),
                data.len(),
                libc::MSG_WAITALL,
            )
        };
        moved(result).unwrap()
    });
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn msg_peek_loops() {
    moves(2_000_000, write, |socket, amount| {
        let mut data = vec![0_u8; CHUNK];
        all(amount, |left| {
            for _ in 0..3 {
                socket.peek(&mut data).unwrap();
            }
            (&mut &*socket)
                .read(&mut data[..chunk(left)])
                .map(|bytes| bytes as u64)
        })
    });
}
