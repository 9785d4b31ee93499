//! `sock_ops`: what the kernel tells of a TCP socket of a cgroup and those below, some of it always, some at the
//! callbacks that a program arms.
//!
//! Where it sees every socket it does all there is to do at the beginning and the end of a connection: who begins it, and
//! that it fails; the claim; the last settle. That is cheaper than `set_state`, which is called at every change of state
//! of every socket of the machine, and, unlike a tracing program, it is never skipped: not where it interrupts itself, nor
//! where a tracepoint can be preempted (Linux 7). What it is not told of is the end of a connection that it has not
//! armed: one that was adopted, unless `arm` finds it, or that another program has disarmed. Such are noted ([`told`]),
//! and as long as there are any `set_state` is attached, too.
//!
//! Where it sees a part of the sockets it claims those, and arms their round-trip times; all else is `set_state`'s.
//!
//! Relies on: `tcp_connect` (`net/ipv4/tcp_output.c`), which calls in the process that connects, with both addresses
//! known. `tcp_init_transfer` (`net/ipv4/tcp_input.c`), which calls with the socket's lock held before any
//! payload moves but that of Fast Open: the active side in ESTABLISHED, the passive one still in `SYN_RECV`.
//! `tcp_bpf_rtt` (5.3), once per window; its arguments are the time and the smoothed one since 6.10, 0 before.
//! `tcp_set_state`, with the old and the new state, before it changes. Other programs of the same cgroup see the
//! same calls and share the flags: add to them.

use agent_ebpf::{events, told};
use aya_ebpf::{
    bindings::bpf_sock_ops, helpers::generated::bpf_sock_ops_cb_flags_set, macros::sock_ops,
    programs::SockOpsContext,
};
use core::ffi::c_void;

use super::{
    account, begun,
    claim::claim,
    classify::Connection,
    latency,
    maps::{CONTROL, account_of, counts},
    set_state::end,
    socket::{TcpSock, tcp_state, wants_latency, watches_end},
};

/// `BPF_SOCK_OPS_STATE_CB_FLAG`, 4.16.
pub(super) const STATE_ARMED: u8 = 1 << 2;

/// Which sockets this program sees, of [`events`].
#[inline(always)]
pub(super) fn attached() -> u32 {
    CONTROL
        .get(0)
        .map_or(events::NOT_ALL, |control| control.events)
}

/// Whether it sees every socket, or will in a moment.
#[inline(always)]
pub(super) fn see_all() -> bool {
    attached() != events::NOT_ALL
}

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
    sock: *mut c_void,
}

impl Event {
    /// `None` for one of no interest, as most are.
    #[inline(always)]
    fn of(ops: *const bpf_sock_ops) -> Option<Self> {
        // SAFETY: the kernel's context; `args` is the member of the union that the callbacks use.
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
                sock: (&raw const (*ops).__bindgen_anon_2)
                    .cast::<*mut c_void>()
                    .read_volatile(),
            })
        }
    }

    /// Arms callbacks, beside those that are.
    #[inline(always)]
    fn arm(&self, ctx: &SockOpsContext, flags: u8) {
        let flags = self.flags | u32::from(flags);
        // SAFETY: the kernel's context. It fails for no full socket, which this is.
        let _ = unsafe { bpf_sock_ops_cb_flags_set(ctx.ops, flags.cast_signed()) };
    }
}

#[inline(always)]
fn try_events(ctx: &SockOpsContext) -> Option<()> {
    let event = Event::of(ctx.ops)?;
    match event.op {
        op::CONNECT => connects(ctx, &event),
        op::ACTIVE | op::PASSIVE => {
            let sock = TcpSock::from_sock(event.sock)?;
            let account = claim(ctx, &sock, event.op == op::ACTIVE)?;
            let latency = if wants_latency() { latency::ARMED } else { 0 };
            let state = if see_all() || watches_end() {
                STATE_ARMED
            } else {
                0
            };
            event.arm(ctx, latency | state);
            if state != 0 {
                // SAFETY: a value of the socket storage.
                unsafe { account::note_told(account.as_ptr(), told::ARMED) };
            }
            Some(())
        }
        op::RTT => measured(&event),
        op::STATE if event.arguments[1] == u32::from(tcp_state::CLOSE) => ends(&event),
        _ => None,
    }
}

/// A process begins a connection.
#[inline(always)]
fn connects(ctx: &SockOpsContext, event: &Event) -> Option<()> {
    if !see_all() || event.sock.is_null() {
        return None;
    }
    let _ = begun::begins(event.sock);
    let sock = TcpSock::from_sock(event.sock)?;
    // So that it is told if it fails.
    if Connection::of(&sock, true)?.is_mpc() {
        event.arm(ctx, STATE_ARMED);
    }
    Some(())
}

/// A round-trip time was measured.
#[inline(always)]
fn measured(event: &Event) -> Option<()> {
    if !wants_latency() || event.sock.is_null() {
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
    Some(())
}

/// A connection that was armed ends, or was not established.
#[inline(always)]
fn ends(event: &Event) -> Option<()> {
    let sock = TcpSock::from_sock(event.sock)?;
    let from = event.arguments[0] as u8;
    if from == tcp_state::SYN_SENT {
        if attached() != events::ALL {
            return None;
        }
        return begun::fails(&sock);
    }
    if !see_all() && !watches_end() {
        return None;
    }
    // SAFETY: a full socket, whose lock is held.
    unsafe { end(sock.as_ptr(), from) }
}
