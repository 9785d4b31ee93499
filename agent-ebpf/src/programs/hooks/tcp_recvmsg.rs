//! `fexit/tcp_recvmsg`: messages received, rounds and waits, before Linux 6.3.
//!
//! Relies on: `tcp_recvmsg(sk, msg, len, flags, addr_len)`, before 5.19 with `nonblock` before the flags
//! (`net/ipv4/tcp.c`); the function's result comes after its parameters.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use crate::programs::{control::receive_parameters, messages, socket::SockPtr};

#[fexit(function = "tcp_recvmsg")]
fn received_at_exit(ctx: FExitContext) -> i32 {
    // SAFETY: the function's socket.
    let sock = unsafe { SockPtr::never_null(ctx.arg(0)) };
    let _ = if receive_parameters() == 5 {
        messages::received(sock, ctx.arg(5), ctx.arg(3))
    } else {
        messages::received(sock, ctx.arg(6), ctx.arg(4))
    };
    0
}
