//! What the iterators have in common: their contexts, and what a walk stands on.
//!
//! Two of them find accounts. `bpf_iter__bpf_sk_storage_map` { meta, map, sk, value } (`net/core/bpf_sk_storage.c`, 5.9)
//! goes through the accounts themselves, under `rcu_read_lock`. Hardened kernels refuse it, as they do all iterators that
//! lend a map's value to be written to; there `bpf_iter__task_file` { meta, task, fd, file } (`kernel/bpf/task_iter.c`,
//! 5.8) goes through the files of every process in the agent's own PID namespace instead, with `bpf_sock_from_file`
//! (5.11). It does not see a connection that no process holds: closed and still sending, or not yet accepted. Such a one
//! is settled at its end.
//!
//! Both read without the sockets' locks. A socket may end, and its memory serve another one, while it is read: its account
//! is closed by then, so nothing of what was read is added. One thread of the agent runs all walks, one after the other.

use agent_ebpf::Account;
use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use core::{ffi::c_void, ptr};

use crate::programs::{
    account,
    atomic::{MapValue, word},
    control::{control, now},
    lifecycle,
    socket::{SockPtr, TcpSock, process_of},
    storage::account_of,
};

/// `struct bpf_iter_meta`, `include/linux/bpf.h`, 5.8.
#[repr(C)]
pub(super) struct Meta {
    seq: *mut c_void,
    /// Another number for each walk.
    session_id: u64,
    /// How many entries were before this one.
    _seq_num: u64,
}

/// `struct bpf_iter__bpf_sk_storage_map`.
#[repr(C)]
pub(super) struct Accounts {
    meta: *mut Meta,
    map: *mut c_void,
    sk: *mut c_void,
    value: *mut Account,
}

/// `struct bpf_iter__task_file`; `fd` is a `u32` in an aligned 64-bit place.
#[repr(C)]
pub(super) struct Files {
    meta: *mut Meta,
    task: *mut c_void,
    fd: u64,
    file: *mut c_void,
}

/// Where a walk is.
pub(super) enum Position {
    /// At an open account, and the socket that has it.
    Account(MapValue<Account>, TcpSock),
    /// At its end; also of a walk that has found nothing.
    End,
}

impl Accounts {
    /// Where it is, and the walk's number; `None` at something else.
    #[inline(always)]
    pub(super) fn position(&self) -> Option<(Position, u64)> {
        let walk = walk(self.meta)?;
        // SAFETY: null, or a value of the map that the iterator stands on.
        let Some(account) = (unsafe { MapValue::new(self.value) }) else {
            return Some((Position::End, walk));
        };
        // SAFETY: of the iterator's context.
        let sock = unsafe { SockPtr::new(self.sk) }?;
        Some((Position::Account(account, TcpSock::of(sock)?), walk))
    }
}

impl Files {
    /// The TCP socket that the file is.
    #[inline(always)]
    pub(super) fn sock(&self) -> Option<TcpSock> {
        // In the call that ends the walk.
        if self.file.is_null() {
            return None;
        }
        // SAFETY: the iterator holds the file.
        unsafe { TcpSock::of_socket(bpf_sock_from_file(self.file.cast()).cast()) }
    }

    /// The process that the file is open in.
    #[inline(always)]
    pub(super) fn process(&self) -> Option<u32> {
        // SAFETY: of the iterator's context.
        unsafe { process_of(self.task) }
    }

    /// The account of the socket that the file is.
    #[inline(always)]
    pub(super) fn account(&self) -> Option<(MapValue<Account>, TcpSock)> {
        let sock = self.sock()?;
        Some((account_of(sock.sock())?, sock))
    }

    /// As [`Accounts::position`]; a socket that several files are comes several times.
    #[inline(always)]
    pub(super) fn position(&self) -> Option<(Position, u64)> {
        let walk = walk(self.meta)?;
        if self.file.is_null() {
            return Some((Position::End, walk));
        }
        let (account, sock) = self.account()?;
        Some((Position::Account(account, sock), walk))
    }

    /// Hands a value to the reader of the iterator. Where it does not fit, the kernel calls the program again for the
    /// same entry (`bpf_seq_read`, `kernel/bpf/bpf_iter.c`).
    #[inline(always)]
    pub(super) fn write<T>(&self, value: &mut T) {
        // SAFETY: the iterator's own words about the walk, which are never null; the value is as long as said.
        unsafe {
            let seq = (*self.meta).seq;
            bpf_seq_write(
                seq.cast(),
                ptr::from_mut(value).cast(),
                size_of::<T>() as u32,
            );
        }
    }
}

/// The number of a walk.
#[inline(always)]
fn walk(meta: *mut Meta) -> Option<u64> {
    if meta.is_null() {
        return None;
    }
    // SAFETY: not null, and the iterator's.
    Some(unsafe { (*meta).session_id })
}

/// Brings the account at a position up to date, once in each walk.
#[inline(always)]
pub(super) fn settle((position, walk): (Position, u64)) -> Option<()> {
    let control = control()?;
    let Position::Account(account, sock) = position else {
        word!(control, walk).set(walk);
        word!(control, clock).set(now());
        return None;
    };
    let last = word!(account, walk);
    if last.get() == walk as u32 {
        return None;
    }
    last.set(walk as u32);
    account::settle(account, &sock, walk);
    word!(control, settled).add(1);
    Some(())
}

/// Moves the account at a position to its slot by the tables as they are now.
#[inline(always)]
pub(super) fn reclassify((position, walk): (Position, u64)) -> Option<()> {
    match position {
        Position::Account(account, sock) => lifecycle::reclassify(account, &sock, walk),
        Position::End => None,
    }
}
