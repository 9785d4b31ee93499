//! `tp_btf/sock_recv_length`: messages received, rounds and waits. Relies on the same as `sock_send_length`, raised by
//! `sock_recvmsg`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::programs::{messages, socket::SockPtr};

#[btf_tracepoint(function = "sock_recv_length")]
fn received(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's socket.
    let sock = unsafe { SockPtr::never_null(ctx.arg(0)) };
    let _ = messages::received(sock, ctx.arg(1), ctx.arg(2));
    0
}
