//! `iter/bpf_sk_storage_map`: brings every open account up to date, once per collection.
//!
//! Relies on: `bpf_iter__bpf_sk_storage_map` { meta, map, sk, value } (`net/core/bpf_sk_storage.c`, 5.9), which
//! walks under `rcu_read_lock` without the sockets' locks. A socket may end, and its memory serve another
//! one, while it is read: its account is closed by then, so nothing of what was read is added.

use agent_ebpf::Account;
use core::ffi::c_void;

use super::{
    account::{self, add},
    maps::CONTROL,
    socket::TcpSock,
};

/// `struct bpf_iter__bpf_sk_storage_map`.
#[repr(C)]
struct Context {
    meta: *mut c_void,
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
    // SAFETY: the caller's. Both are null in the call that ends a walk.
    let (sk, value) = unsafe { ((*ctx).sk, (*ctx).value) };
    if value.is_null() {
        return None;
    }
    let sock = TcpSock::from_sock(sk)?;
    // SAFETY: a value of the socket storage.
    unsafe { account::settle(value, &sock) };
    let control = CONTROL.get_ptr_mut(0)?;
    // SAFETY: the array's element, valid for the length of the program.
    unsafe { add(&raw mut (*control).settled, 1) };
    Some(())
}
