//! `fexit/tcp_sendmsg`: messages sent, before Linux 6.3.
//!
//! Relies on: `tcp_sendmsg(sk, msg, size)` (`net/ipv4/tcp.c`); the function's result comes after its parameters. `sendfile`
//! does not call it there.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use crate::programs::{messages, socket::SockPtr};

#[fexit(function = "tcp_sendmsg")]
fn sent_at_exit(ctx: FExitContext) -> i32 {
    // SAFETY: the function's socket.
    let sock = unsafe { SockPtr::never_null(ctx.arg(0)) };
    let _ = messages::sent(sock, ctx.arg(3));
    0
}
