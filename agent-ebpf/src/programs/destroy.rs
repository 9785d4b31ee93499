//! `tp_btf/tcp_destroy_sock`: settles the connections that `close` could not.
//!
//! The kernel skips a tracing program that is interrupted by itself on one CPU (`prog->active`, counted in
//! its `recursion_misses`): a reset that arrives in a softirq while a program runs for another socket. The
//! account is still there then, and the counters are, too, until the socket is freed.
//!
//! Relies on: `tcp_destroy_sock(struct sock *sk)` (include/trace/events/tcp.h, 4.16), raised by
//! `tcp_v4_destroy_sock` (net/ipv4/tcp_ipv4.c) for both families.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ffi::c_void;

use super::{account, maps::account_of, socket::TcpSock};

#[btf_tracepoint(function = "tcp_destroy_sock")]
fn destroy(ctx: BtfTracePointContext) -> i32 {
    let _ = try_destroy(ctx.arg(0));
    0
}

#[inline(always)]
fn try_destroy(sk: *mut c_void) -> Option<()> {
    // SAFETY: the tracepoint's socket.
    let account = unsafe { account_of(sk) }?;
    let sock = TcpSock::from_sock(sk)?;
    // SAFETY: a value of the socket storage; it goes with the socket.
    unsafe { account::close_unseen(account.as_ptr(), &sock) };
    Some(())
}
