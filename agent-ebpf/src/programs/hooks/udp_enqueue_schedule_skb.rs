//! `fexit/__udp_enqueue_schedule_skb`: as `udp_fail_queue_rcv_skb`, before Linux 6.5.
//!
//! Relies on: `__udp_enqueue_schedule_skb(sk, skb)` (`net/ipv4/udp.c`), for both families; the function's result comes after
//! its parameters.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use crate::programs::{datagrams::take_back, socket::SockPtr};

#[fexit(function = "__udp_enqueue_schedule_skb")]
fn datagrams_refused_at_exit(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(2);
    if result < 0 {
        // SAFETY: the function's socket.
        let _ = take_back(unsafe { SockPtr::never_null(ctx.arg(0)) });
    }
    0
}
