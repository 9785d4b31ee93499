//! `iter/bpf_sk_storage_map`: brings every open account up to date, once per collection.
//!
//! Relies on: `bpf_iter__bpf_sk_storage_map` { meta, map, sk, value } (`net/core/bpf_sk_storage.c`, 5.9), which
//! walks under `rcu_read_lock` without the sockets' locks. A socket may end, and its memory serve another
//! one, while it is read: its account is closed by then, so nothing of what was read is added.

use agent_ebpf::Account;
use core::ffi::c_void;

use super::{
    account::{self, add},
    iterator::Meta,
    maps::CONTROL,
    socket::TcpSock,
};

/// `struct bpf_iter__bpf_sk_storage_map`.
#[repr(C)]
struct Context {
    meta: *mut Meta,
    map: *mut c_void,
    sk: *mut c_void,
    value: *mut Account,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn settle(ctx: *mut Context) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_settle(ctx) };
    0
}

#[inline(always)]
unsafe fn try_settle(ctx: *mut Context) -> Option<()> {
    // SAFETY: the caller's.
    let (meta, sk, value) = unsafe { ((*ctx).meta, (*ctx).sk, (*ctx).value) };
    if meta.is_null() {
        return None;
    }
    // SAFETY: not null, and the iterator's.
    let walk = unsafe { (*meta).session_id };
    let control = CONTROL.get_ptr_mut(0)?;
    if value.is_null() {
        // The call that ends a walk, also one that has found nothing.
        // SAFETY: the array's element, valid for the length of the program.
        unsafe { (&raw mut (*control).walk).write_volatile(walk) };
        return None;
    }
    let sock = TcpSock::from_sock(sk)?;
    // SAFETY: a value of the socket storage.
    unsafe { account::settle(value, &sock, walk) };
    // SAFETY: the array's element, valid for the length of the program.
    unsafe { add(&raw mut (*control).settled, 1) };
    Some(())
}
