//! `iter/tcp`: arms the callbacks of `sock_ops` for connections that were adopted, as `sock_ops` does itself for those
//! that it has seen beginning. Only in the agent's own network namespace: the iterator goes through no other.
//!
//! Relies on: `bpf_iter__tcp` { meta, `sk_common`, uid } (`net/ipv4/tcp_ipv4.c`, 5.9), which holds the socket's lock and
//! lets its program call `bpf_setsockopt` (5.16), and the option `TCP_BPF_SOCK_OPS_CB_FLAGS` (`net/core/filter.c`, 6.12).
//! Without the option it changes nothing.

use agent_ebpf::close_callback;
use aya_ebpf::helpers::generated::bpf_setsockopt;
use core::ffi::c_void;

use crate::programs::{
    account::set_close_callback,
    control::{STATE_CALLBACK, latency_callback, sees_all_events},
    socket::{SockPtr, TcpSock},
    storage::account_of,
};

/// `struct bpf_iter__tcp`.
#[repr(C)]
struct Sockets {
    meta: *mut c_void,
    sk_common: *mut c_void,
    uid: u32,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn arm(ctx: &Sockets) -> i32 {
    let _ = try_arm(ctx);
    0
}

#[inline(always)]
fn try_arm(ctx: &Sockets) -> Option<()> {
    const IPPROTO_TCP: i32 = 6;
    const TCP_BPF_SOCK_OPS_CB_FLAGS: i32 = 1008;
    const LENGTH: i32 = 4;
    // A callback of a socket that `sock_ops` does not see would do nothing.
    if !sees_all_events() {
        return None;
    }
    // SAFETY: of the iterator's context; null in the call that ends the walk.
    let sock = TcpSock::of(unsafe { SockPtr::new(ctx.sk_common) }?)?;
    let account = account_of(sock.sock())?;
    let armed = sock.callback_flags();
    let wanted = STATE_CALLBACK | latency_callback();
    if armed & wanted == wanted {
        return None;
    }
    let mut flags = i32::from(armed | wanted);
    // SAFETY: a full socket, whose lock the iterator holds, and a value as long as said.
    let failed = unsafe {
        bpf_setsockopt(
            sock.sock().as_ptr(),
            IPPROTO_TCP,
            TCP_BPF_SOCK_OPS_CB_FLAGS,
            (&raw mut flags).cast(),
            LENGTH,
        )
    };
    if failed == 0 {
        set_close_callback(account, close_callback::ARMED);
    }
    Some(())
}
