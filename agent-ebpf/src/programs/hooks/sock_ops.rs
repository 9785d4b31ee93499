//! `sock_ops`: what the kernel reports of a TCP socket of a cgroup and those below, some of it always, some at the
//! callbacks that a program arms.
//!
//! Where it sees every socket it does everything there is to do at the beginning and the end of a connection: who opens
//! it, and that it fails; the claim; the last settle. That is cheaper than `inet_sock_set_state`, which is raised at every
//! change of state of every socket of the machine, and, unlike a tracing program, it is never skipped: not where it
//! interrupts itself, nor where a tracepoint can be preempted (Linux 7). It is not called at the end of a connection whose
//! callback is not armed: one that was adopted, unless `iter_tcp` finds it, or one that another program has disarmed.
//! Such accounts are counted (`close_callback`), and as long as there are any `set_state` is attached, too.
//!
//! Where it sees a part of the sockets it claims those, and arms their round-trip times; all else is `set_state`'s.
//!
//! Relies on: `tcp_connect` (`net/ipv4/tcp_output.c`), which calls in the process that connects, with both addresses
//! known. `tcp_init_transfer` (`net/ipv4/tcp_input.c`), which calls with the socket's lock held before any payload moves
//! but that of Fast Open: the active side in ESTABLISHED, the passive one still in `SYN_RECV`. `tcp_bpf_rtt` (5.3), once
//! per window; its arguments are the time and the smoothed one since 6.10, 0 before. `tcp_set_state`, with the old and the
//! new state, before it changes. Other programs of the same cgroup see the same calls and share the flags: add to them.

use agent_ebpf::{close_callback, events, tcp::state};
use aya_ebpf::{
    bindings::bpf_sock_ops, helpers::generated::bpf_sock_ops_cb_flags_set, macros::sock_ops,
    programs::SockOpsContext,
};
use core::ffi::c_void;

use crate::programs::{
    account::set_close_callback,
    control::{
        STATE_CALLBACK, counts, events_seen, latency_callback, sees_all_events, settles_by_events,
        takes_latency,
    },
    counters::observe_rtt,
    lifecycle,
    socket::{SockPtr, TcpSock},
    storage::account_of,
};

#[sock_ops]
fn socket_events(ctx: SockOpsContext) -> u32 {
    let _ = try_events(&ctx);
    // 0 would say that the callback failed; the reply stays as another program may have left it.
    1
}

/// `BPF_SOCK_OPS_*` of `include/uapi/linux/bpf.h`.
mod op {
    pub(super) const CONNECT: u32 = 3;
    pub(super) const ACTIVE: u32 = 4;
    pub(super) const PASSIVE: u32 = 5;
    pub(super) const STATE: u32 = 10;
    pub(super) const RTT: u32 = 12;
}

/// What is read of the context, all of it at once and each by itself: the verifier admits loads at constant offsets
/// only, and LLVM would merge those of two branches.
struct Event {
    op: u32,
    arguments: [u32; 2],
    flags: u32,
    sock: Option<SockPtr>,
}

impl Event {
    /// `None` for one of no interest, as most are.
    #[inline(always)]
    fn of(ops: *const bpf_sock_ops) -> Option<Self> {
        // SAFETY: the context of the running hook; `args` is the member of the union that the callbacks use.
        unsafe {
            let op = (&raw const (*ops).op).read_volatile();
            if !matches!(
                op,
                op::CONNECT | op::ACTIVE | op::PASSIVE | op::STATE | op::RTT
            ) {
                return None;
            }
            let arguments = (&raw const (*ops).__bindgen_anon_1).cast::<u32>();
            Some(Self {
                op,
                arguments: [arguments.read_volatile(), arguments.add(1).read_volatile()],
                flags: (&raw const (*ops).bpf_sock_ops_cb_flags).read_volatile(),
                sock: SockPtr::new(
                    (&raw const (*ops).__bindgen_anon_2)
                        .cast::<*mut c_void>()
                        .read_volatile(),
                ),
            })
        }
    }

    /// Arms callbacks, beside those that are.
    #[inline(always)]
    fn arm(&self, ctx: &SockOpsContext, flags: u8) {
        let flags = self.flags | u32::from(flags);
        // SAFETY: the context of the running hook. It fails for no full socket, which this is.
        let _ = unsafe { bpf_sock_ops_cb_flags_set(ctx.ops, flags.cast_signed()) };
    }
}

#[inline(always)]
fn try_events(ctx: &SockOpsContext) -> Option<()> {
    let event = Event::of(ctx.ops)?;
    match event.op {
        op::CONNECT => connects(ctx, &event),
        op::ACTIVE | op::PASSIVE => established(ctx, &event),
        op::RTT => measured(&event),
        op::STATE if event.arguments[1] == u32::from(state::CLOSE) => closes(&event),
        _ => None,
    }
}

/// A process connects.
#[inline(always)]
fn connects(ctx: &SockOpsContext, event: &Event) -> Option<()> {
    if !sees_all_events() {
        return None;
    }
    let sock = event.sock?;
    let _ = lifecycle::connects(sock);
    // So that this program is called if it fails.
    if lifecycle::connects_to_party(&TcpSock::of(sock)?) {
        event.arm(ctx, STATE_CALLBACK);
    }
    Some(())
}

/// A connection is established.
#[inline(always)]
fn established(ctx: &SockOpsContext, event: &Event) -> Option<()> {
    let sock = TcpSock::of(event.sock?)?;
    let account = lifecycle::claim(ctx, &sock, event.op == op::ACTIVE)?;
    let state = if settles_by_events() {
        STATE_CALLBACK
    } else {
        0
    };
    event.arm(ctx, latency_callback() | state);
    if state != 0 {
        set_close_callback(account, close_callback::ARMED);
    }
    Some(())
}

/// A round-trip time was measured.
#[inline(always)]
fn measured(event: &Event) -> Option<()> {
    if !takes_latency() {
        return None;
    }
    let sock = event.sock?;
    let account = account_of(sock)?;
    if !counts() {
        return None;
    }
    let time = match event.arguments[0] {
        // Before 6.10 the callback says only that one was measured.
        0 => TcpSock::of(sock)?.newest_rtt(),
        time => time,
    };
    observe_rtt(account, time);
    Some(())
}

/// A connection whose callback is armed ends, or was not established.
#[inline(always)]
fn closes(event: &Event) -> Option<()> {
    let last_state = event.arguments[0] as u8;
    let sock = TcpSock::of(event.sock?)?;
    if last_state == state::SYN_SENT {
        if events_seen() != events::ALL {
            return None;
        }
        return lifecycle::fails(&sock);
    }
    if !settles_by_events() {
        return None;
    }
    lifecycle::ends(sock.sock(), last_state)
}
