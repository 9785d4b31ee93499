//! `tp_btf/sock_send_length`: messages sent.
//!
//! Relies on: `sock_send_length` { sk, ret, flags } (`include/trace/events/sock.h`, 6.3), raised by `sock_sendmsg`
//! (`net/socket.c`) for every kind of socket and every way to call it, in the process that calls. Not raised where data is
//! spliced or mapped out of a socket.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::programs::{messages, socket::SockPtr};

#[btf_tracepoint(function = "sock_send_length")]
fn sent(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's socket.
    let sock = unsafe { SockPtr::never_null(ctx.arg(0)) };
    let _ = messages::sent(sock, ctx.arg(1));
    0
}
