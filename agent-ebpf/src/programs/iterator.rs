//! What the iterators have in common: the kernel's words about a walk, and what a walk stands on.
//!
//! Two of them find accounts. `bpf_iter__bpf_sk_storage_map` { meta, map, sk, value } (`net/core/bpf_sk_storage.c`, 5.9)
//! goes through the accounts themselves, under `rcu_read_lock`. Hardened kernels refuse it, as they do all iterators
//! that lend a map's value to be written to; there `bpf_iter__task_file` { meta, task, fd, file }
//! (`kernel/bpf/task_iter.c`, 5.8) goes through the files of every process in the agent's own PID namespace instead,
//! with `bpf_sock_from_file` (5.11). It does not see a connection that no process holds: closed and still sending, or
//! not yet accepted. Such a one waits for the end, which settles it.

use agent_ebpf::Account;
use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use core::ffi::c_void;

use super::{maps::account_of, socket::TcpSock};

/// `struct bpf_iter_meta`, `include/linux/bpf.h`, 5.8.
#[repr(C)]
pub(super) struct Meta {
    seq: *mut c_void,
    /// Another number for each walk.
    pub(super) session_id: u64,
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
    pub(super) meta: *mut Meta,
    pub(super) task: *mut c_void,
    fd: u64,
    file: *mut c_void,
}

/// Where a walk is.
pub(super) enum At {
    /// At an open account, and the socket that has it.
    Account(*mut Account, TcpSock),
    /// At its end; also of a walk that has found nothing.
    End,
}

impl Accounts {
    /// Where it is, and the walk's number; `None` at something else.
    ///
    /// # Safety
    /// `ctx` must be what the kernel has passed.
    #[inline(always)]
    pub(super) unsafe fn at(ctx: *mut Self) -> Option<(At, u64)> {
        // SAFETY: the caller's.
        let (meta, sk, value) = unsafe { ((*ctx).meta, (*ctx).sk, (*ctx).value) };
        if meta.is_null() {
            return None;
        }
        // SAFETY: not null, and the iterator's.
        let walk = unsafe { (*meta).session_id };
        if value.is_null() {
            return Some((At::End, walk));
        }
        Some((At::Account(value, TcpSock::from_sock(sk)?), walk))
    }
}

impl Files {
    /// The TCP socket that the file is.
    ///
    /// # Safety
    /// As for [`Accounts::at`].
    #[inline(always)]
    pub(super) unsafe fn sock(ctx: *mut Self) -> Option<TcpSock> {
        // SAFETY: the caller's. Null in the call that ends the walk.
        let file = unsafe { (*ctx).file };
        if file.is_null() {
            return None;
        }
        // SAFETY: `file` is a `struct file` that the iterator holds.
        TcpSock::from_socket(unsafe { bpf_sock_from_file(file.cast()) }.cast())
    }

    /// As [`Accounts::at`]; a socket that several files are comes several times.
    ///
    /// # Safety
    /// As for [`Accounts::at`].
    #[inline(always)]
    pub(super) unsafe fn at(ctx: *mut Self) -> Option<(At, u64)> {
        // SAFETY: the caller's.
        let (meta, file) = unsafe { ((*ctx).meta, (*ctx).file) };
        if meta.is_null() {
            return None;
        }
        // SAFETY: not null, and the iterator's.
        let walk = unsafe { (*meta).session_id };
        if file.is_null() {
            return Some((At::End, walk));
        }
        // SAFETY: the caller's.
        let sock = unsafe { Self::sock(ctx) }?;
        // SAFETY: a full socket.
        let account = unsafe { account_of(sock.as_ptr()) }?;
        Some((At::Account(account.as_ptr(), sock), walk))
    }
}

/// Hands a value to the reader of the iterator. Where it does not fit, the kernel calls the program again for the
/// same entry (`bpf_seq_read`, `kernel/bpf/bpf_iter.c`).
///
/// # Safety
/// `meta` must be what the iterator's context holds.
#[inline(always)]
pub(super) unsafe fn write<T>(meta: *mut Meta, value: &mut T) {
    // SAFETY: the caller's; the value is as long as said.
    unsafe {
        let length = size_of::<T>() as u32;
        bpf_seq_write(
            (*meta).seq.cast(),
            core::ptr::from_mut(value).cast(),
            length,
        );
    }
}
