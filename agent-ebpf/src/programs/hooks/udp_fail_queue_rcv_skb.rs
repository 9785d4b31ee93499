//! `tp_btf/udp_fail_queue_rcv_skb`: a datagram that `cgroup_skb` has just counted, on the same CPU, found no room.
//!
//! Relies on: `udp_fail_queue_rcv_skb` { rc, sk } (`include/trace/events/udp.h`), raised for IPv6 since 6.5.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::programs::{datagrams::take_back, socket::SockPtr};

#[btf_tracepoint(function = "udp_fail_queue_rcv_skb")]
fn datagrams_refused(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's socket.
    let _ = take_back(unsafe { SockPtr::never_null(ctx.arg(1)) });
    0
}
