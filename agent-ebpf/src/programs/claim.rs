//! `sock_ops` on the root of cgroup2: an account for each MPC connection at its establishment.
//!
//! Relies on: `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB` from `tcp_finish_connect` and
//! `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB` from `tcp_rcv_state_process` and `tcp_fastopen_create_child`
//! (net/ipv4/tcp_input.c, tcp_fastopen.c; 4.13), all under the socket's lock and before the first byte of
//! payload but for that of a SYN (Fast Open). Runs in softirq: never ask for the current task.

use agent_ebpf::Address;
use aya_ebpf::{
    bindings::{BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB},
    macros::sock_ops,
    programs::SockOpsContext,
};
use aya_log_ebpf::debug;
use core::ptr;

use super::{
    account,
    classify::Connection,
    maps::open_account,
    socket::{Words as _, v4_mapped},
};

const AF_INET6: u32 = 10;

/// Reads a field of `struct bpf_sock_ops` by itself: the verifier rewrites each load by its exact offset and
/// size, so none may be merged with its neighbour.
macro_rules! field {
    ($ctx:expr, $($field:tt)+) => {
        // SAFETY: the context is valid for the length of the program.
        unsafe { ptr::read_volatile(&raw const (*$ctx.ops).$($field)+) }
    };
}

#[sock_ops]
fn claim(ctx: SockOpsContext) -> u32 {
    let initiator = match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => true,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => false,
        _ => return 1,
    };
    let _ = try_claim(&ctx, initiator);
    1
}

#[inline(always)]
fn try_claim(ctx: &SockOpsContext, initiator: bool) -> Option<()> {
    let connection = connection(ctx, initiator);
    let slot = connection.slot()?;
    let (next, sent) = sequence(ctx, initiator);
    let mut opened = account::opened(slot, next, sent);

    let sock = field!(ctx, __bindgen_anon_2.sk);
    if sock.is_null() {
        return None;
    }
    // SAFETY: `sk` is a full socket at establishment (net/core/filter.c, `sock_ops_convert_ctx_access`).
    let stored = unsafe { open_account(sock.cast(), &mut opened) }?;
    // A socket that `adopt` met in the very moment of its establishment has an account already; and a child
    // never inherits one. What is written here is the better start either way.
    // SAFETY: a value of the socket storage, valid for the length of the program.
    unsafe { stored.write(opened) };
    debug!(
        ctx,
        "claimed: slot {}, local port {}, remote port {}",
        slot,
        connection.local_port,
        connection.remote_port
    );
    Some(())
}

#[inline(always)]
fn connection(ctx: &SockOpsContext, initiator: bool) -> Connection {
    // All of both families, always: two loads of which one is done would be folded into one at a computed
    // place of the context, which the verifier does not allow.
    let v4 = [field!(ctx, remote_ip4), field!(ctx, local_ip4)];
    let v6: [Address; 2] = [
        [
            field!(ctx, remote_ip6[0]),
            field!(ctx, remote_ip6[1]),
            field!(ctx, remote_ip6[2]),
            field!(ctx, remote_ip6[3]),
        ]
        .to_address(),
        [
            field!(ctx, local_ip6[0]),
            field!(ctx, local_ip6[1]),
            field!(ctx, local_ip6[2]),
            field!(ctx, local_ip6[3]),
        ]
        .to_address(),
    ];
    let [remote, local] = if field!(ctx, family) == AF_INET6 {
        v6
    } else {
        v4.map(v4_mapped)
    };
    Connection {
        remote,
        local,
        // Network order in all 32 bits, unlike `local_port`.
        remote_port: u32::from_be(field!(ctx, remote_port)) as u16,
        local_port: field!(ctx, local_port) as u16,
        initiator,
    }
}

/// `snd_nxt`, and the payload that is before it. Only an initiator can have sent any by now, with its SYN:
/// what is acknowledged (the SYN counts as one) and what is not.
#[inline(always)]
fn sequence(ctx: &SockOpsContext, initiator: bool) -> (u32, u32) {
    let next = field!(ctx, snd_nxt);
    if !initiator {
        return (next, 0);
    }
    let acked = field!(ctx, bytes_acked) as u32;
    let sent = acked
        .wrapping_add(next.wrapping_sub(field!(ctx, snd_una)))
        .wrapping_sub(1);
    (next, sent)
}
