//! `iter/tcp`: arms the callbacks of `socket_events` for connections that were adopted, as it does itself for those that it
//! has seen beginning. Only those in the agent's own network namespace: the iterator goes through no other.
//!
//! Relies on: `bpf_iter__tcp` { meta, `sk_common`, uid } (`net/ipv4/tcp_ipv4.c`, 5.9), which holds the socket's lock and
//! lets its program call `bpf_setsockopt` (5.16), and the option `TCP_BPF_SOCK_OPS_CB_FLAGS` (`net/core/filter.c`, 6.12).
//! Without the option it changes nothing.

use agent_ebpf::told;
use aya_ebpf::helpers::generated::bpf_setsockopt;
use core::ffi::c_void;

use super::{
    account,
    iterator::Meta,
    latency,
    maps::account_of,
    socket::{TcpSock, wants_latency},
    socket_events::{self, STATE_ARMED},
};

/// `struct bpf_iter__tcp`.
#[repr(C)]
struct Sockets {
    meta: *mut Meta,
    sk_common: *mut c_void,
    uid: u32,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn arm(ctx: *mut Sockets) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_arm(ctx) };
    0
}

#[inline(always)]
unsafe fn try_arm(ctx: *mut Sockets) -> Option<()> {
    const IPPROTO_TCP: i32 = 6;
    const TCP_BPF_SOCK_OPS_CB_FLAGS: i32 = 1008;
    const LENGTH: i32 = 4;
    // Those of other cgroups are told to nobody: what they have is sampled and settled.
    if !socket_events::see_all() {
        return None;
    }
    // SAFETY: the caller's. Null in the call that ends the walk; neither a request nor in time-wait from here on.
    let sock = TcpSock::from_sock(unsafe { (*ctx).sk_common })?;
    // SAFETY: a full socket.
    let account = unsafe { account_of(sock.as_ptr()) }?;
    let latency = if wants_latency() { latency::ARMED } else { 0 };
    let (armed, wanted) = (sock.callback_flags(), STATE_ARMED | latency);
    if armed & wanted == wanted {
        return None;
    }
    let mut flags = i32::from(armed | wanted);
    // SAFETY: a full socket, whose lock the iterator holds, and a value as long as said.
    let failed = unsafe {
        bpf_setsockopt(
            sock.as_ptr(),
            IPPROTO_TCP,
            TCP_BPF_SOCK_OPS_CB_FLAGS,
            (&raw mut flags).cast(),
            LENGTH,
        )
    };
    if failed == 0 {
        // SAFETY: a value of the socket storage.
        unsafe { account::note_told(account.as_ptr(), told::ARMED) };
    }
    Some(())
}
