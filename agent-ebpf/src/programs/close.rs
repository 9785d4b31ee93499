//! `tp_btf/inet_sock_set_state`: settles a connection for the last time and gives its account up.
//!
//! Relies on: `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
//! (include/trace/events/sock.h, 4.16), raised by `tcp_set_state` under the socket's lock before anything is
//! reset, also by `tcp_disconnect`, which zeroes every counter after it.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ffi::c_void;

use super::{
    account,
    maps::{account_of, drop_account},
    socket::{TcpSock, tcp_state},
};

#[btf_tracepoint(function = "inet_sock_set_state")]
fn close(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(2) == i32::from(tcp_state::CLOSE) {
        let last_state = ctx.arg::<i32>(1);
        let _ = try_close(ctx.arg(0), last_state as u8);
    }
    0
}

#[inline(always)]
fn try_close(sk: *mut c_void, last_state: u8) -> Option<()> {
    // SAFETY: the tracepoint's socket. Asked before what kind of socket it is: most have no account.
    let account = unsafe { account_of(sk) }?;
    let sock = TcpSock::from_sock(sk)?;
    // SAFETY: a value of the socket storage.
    unsafe { account::close(account.as_ptr(), &sock, last_state) };
    // SAFETY: the tracepoint's socket. If it is used again (`tcp_disconnect`), it starts anew.
    unsafe { drop_account(sk) };
    Some(())
}
