//! `sock_ops`: what the kernel tells of a TCP socket of a cgroup and those below, at the callbacks that a program
//! arms.
//!
//! Establishment arms the round-trip times; where `watch_end` is set also the changes of state. Unlike a tracing
//! program it is never skipped: not where it interrupts itself, nor where a tracepoint can be preempted (Linux 7).
//! So it claims, too, and where it sees every socket `set_state` leaves that to it. For adopted connections nothing
//! can be armed: that takes `bpf_setsockopt`, which only the iterator of one network namespace may call.
//!
//! Relies on: `tcp_init_transfer` (`net/ipv4/tcp_input.c`), which calls with the socket's lock held before any
//! payload moves but that of Fast Open: the active side in ESTABLISHED, the passive one still in `SYN_RECV`.
//! `tcp_bpf_rtt` (5.3), once per window; its arguments are the time and the smoothed one since 6.10, 0 before.
//! `tcp_set_state`, with the old and the new state, before it changes. Other programs of the same cgroup see the
//! same calls and share the flags: add to them.

use aya_ebpf::{
    bindings::bpf_sock_ops, helpers::generated::bpf_sock_ops_cb_flags_set, macros::sock_ops,
    programs::SockOpsContext,
};
use core::ffi::c_void;

use super::{
    claim::claim,
    latency,
    maps::{account_of, counts},
    set_state::end,
    socket::{TcpSock, tcp_state, wants_latency, watches_end},
};

/// `BPF_SOCK_OPS_STATE_CB_FLAG`, 4.16.
const STATE_ARMED: u32 = 1 << 2;

#[sock_ops]
fn socket_events(ctx: SockOpsContext) -> u32 {
    let _ = try_events(&ctx);
    // 0 would say that the callback failed; the reply stays as another program may have left it.
    1
}

/// What is read of the context, all of it at once and each by itself: the verifier admits loads at constant offsets
/// only, and LLVM would merge those of two branches.
struct Event {
    op: u32,
    arguments: [u32; 2],
    flags: u32,
    sock: *mut c_void,
}

impl Event {
    #[inline(always)]
    fn of(ops: *const bpf_sock_ops) -> Self {
        // SAFETY: the kernel's context; `args` is the member of the union that the callbacks use.
        unsafe {
            let arguments = (&raw const (*ops).__bindgen_anon_1).cast::<u32>();
            Self {
                op: (&raw const (*ops).op).read_volatile(),
                arguments: [arguments.read_volatile(), arguments.add(1).read_volatile()],
                flags: (&raw const (*ops).bpf_sock_ops_cb_flags).read_volatile(),
                sock: (&raw const (*ops).__bindgen_anon_2)
                    .cast::<*mut c_void>()
                    .read_volatile(),
            }
        }
    }
}

#[inline(always)]
fn try_events(ctx: &SockOpsContext) -> Option<()> {
    const ACTIVE: u32 = 4;
    const PASSIVE: u32 = 5;
    const STATE: u32 = 10;
    const RTT: u32 = 12;
    let event = Event::of(ctx.ops);
    match event.op {
        ACTIVE | PASSIVE => {
            let sock = TcpSock::from_sock(event.sock)?;
            claim(ctx, &sock, event.op == ACTIVE)?;
            let mut flags = event.flags;
            if wants_latency() {
                flags |= u32::from(latency::ARMED);
            }
            if watches_end() {
                flags |= STATE_ARMED;
            }
            // SAFETY: the kernel's context. It fails for no full socket, which this is.
            let _ = unsafe { bpf_sock_ops_cb_flags_set(ctx.ops, flags.cast_signed()) };
        }
        RTT if wants_latency() => {
            if event.sock.is_null() {
                return None;
            }
            // SAFETY: a full socket.
            let account = unsafe { account_of(event.sock) }?;
            if !counts() {
                return None;
            }
            let time = match event.arguments[0] {
                // Before 6.10 there is only the word that one was measured.
                0 => TcpSock::from_sock(event.sock)?.newest_rtt(),
                time => time,
            };
            // SAFETY: a value of the socket storage.
            unsafe { latency::take(account.as_ptr(), time) };
        }
        STATE if event.arguments[1] == u32::from(tcp_state::CLOSE) && watches_end() => {
            let sock = TcpSock::from_sock(event.sock)?;
            // SAFETY: a full socket, whose lock is held.
            unsafe { end(sock.as_ptr(), event.arguments[0] as u8) };
        }
        _ => {}
    }
    Some(())
}
