//! `cgroup_skb`: datagrams, in both directions. Attached only where a protocol is on UDP.
//!
//! Relies on, since 4.10: `ip_finish_output` and `ip6_finish_output` (`net/ipv4/ip_output.c`, `net/ipv6/ip6_output.c`),
//! which call with the sending socket; `udp_queue_rcv_one_skb` (`net/ipv4/udp.c`, `net/ipv6/udp.c`), which calls through
//! `sk_filter_trim_cap` for each socket that gets the datagram, in softirq, with the packet from its network header on
//! (`__cgroup_bpf_run_filter_skb`, `kernel/bpf/cgroup.c`), trimmed to the length that UDP gives. `__sk_buff.gso_size` since
//! 5.7.

use aya_ebpf::{macros::cgroup_skb, programs::SkBuffContext};

use crate::programs::datagrams::{count_received, count_sent, forget_received, is_udp};

/// Let it pass, whatever was found.
const PASS: i32 = 1;

#[cgroup_skb(egress)]
fn datagrams_out(ctx: SkBuffContext) -> i32 {
    if is_udp(&ctx) {
        let _ = count_sent(&ctx);
    }
    PASS
}

#[cgroup_skb(ingress)]
fn datagrams_in(ctx: SkBuffContext) -> i32 {
    if is_udp(&ctx) && count_received(&ctx).is_none() {
        forget_received();
    }
    PASS
}
