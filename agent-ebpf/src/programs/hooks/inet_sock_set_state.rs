//! `tp_btf/inet_sock_set_state`: the beginning and the end of a connection, nothing on the way. It does everything where
//! `sock_ops` does not see every socket. Where that does, it is attached only as long as there are connections whose end
//! `sock_ops` is not called at, or parties that share an address: only this tracepoint says who listens.
//!
//! Two programs do the same, for one reason: the kernel skips a tracing program that is interrupted by itself on one CPU
//! (`prog->active`), as when a segment arrives in a softirq while a process closes another socket. Of two in a row at most
//! one is skipped, and the second does nothing where the first has run. Where tracepoints can be preempted (Linux 7)
//! another task can find both busy, and the agent counts that as `recursion`.
//!
//! Relies on: `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
//! (`include/trace/events/sock.h`, 4.16), raised by `tcp_set_state` and `inet_sk_set_state` with the socket's lock held,
//! before the state is written. To ESTABLISHED: from `tcp_finish_connect` and from `tcp_rcv_state_process`, before any
//! payload moves but that of Fast Open. To CLOSE: before anything is reset, also from `tcp_disconnect`, which zeroes every
//! counter after it. To `SYN_SENT`: from `connect`, in the process that calls it, with both addresses known. To LISTEN, and
//! from there to CLOSE: likewise. All else may run in softirq: never ask for the current task there.

use agent_ebpf::{events, tcp::state};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::programs::{
    account::check_close_callback,
    atomic::{MapValue, word},
    control::{STATE_CALLBACK, events_seen},
    lifecycle, local_initiators,
    maps::{HANDLED, Handled},
    socket::{SockPtr, TcpSock, this_process},
};

#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    if let Some(transition) = Transition::of(&ctx) {
        let _ = transition.follow(&ctx);
        if let Some(handled) = handled() {
            transition.note(handled);
        }
    }
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state_again(ctx: BtfTracePointContext) -> i32 {
    if let Some(transition) = Transition::of(&ctx) {
        let first_ran = handled().is_some_and(|handled| transition.take_note(handled));
        if !first_ran {
            let _ = transition.follow(&ctx);
        }
    }
    0
}

/// This CPU's note.
#[inline(always)]
fn handled() -> Option<MapValue<Handled>> {
    // SAFETY: the map's element of this CPU.
    unsafe { MapValue::new(HANDLED.get_ptr_mut(0)?) }
}

/// A change of state that matters here.
struct Transition {
    sock: SockPtr,
    from: u8,
    to: u8,
}

impl Transition {
    #[inline(always)]
    fn of(ctx: &BtfTracePointContext) -> Option<Self> {
        // Compared as the kernel passes it, in 32 bits: this is where nearly every run ends.
        let to = ctx.arg::<i32>(2);
        if to != i32::from(state::ESTABLISHED)
            && to != i32::from(state::CLOSE)
            && to != i32::from(state::SYN_SENT)
            && to != i32::from(state::LISTEN)
        {
            return None;
        }
        Some(Self {
            // SAFETY: the tracepoint's socket.
            sock: unsafe { SockPtr::never_null(ctx.arg(0)) },
            from: ctx.arg::<i32>(1) as u8,
            to: to as u8,
        })
    }

    #[inline(always)]
    fn note(&self, handled: MapValue<Handled>) {
        word!(handled, to).set(u64::from(self.to));
        word!(handled, sock).set(self.sock.as_ptr() as u64);
    }

    /// Whether this change was the last that was noted; a note is good for once.
    #[inline(always)]
    fn take_note(&self, handled: MapValue<Handled>) -> bool {
        let to = word!(handled, to).get();
        let sock = word!(handled, sock).get();
        word!(handled, sock).set(0);
        to == u64::from(self.to) && sock == self.sock.as_ptr() as u64
    }

    #[inline(always)]
    fn follow(&self, ctx: &BtfTracePointContext) -> Option<()> {
        let seen = events_seen();
        if self.to == state::ESTABLISHED {
            if seen == events::ALL {
                return None;
            }
            // From SYN_RECV it is a listener's child.
            let initiator = self.from == state::SYN_SENT;
            let sock = TcpSock::of(self.sock)?;
            let account = lifecycle::claim(ctx, &sock, initiator)?;
            check_close_callback(account, &sock);
            return Some(());
        }
        if self.to == state::SYN_SENT {
            if seen == events::ALL {
                return None;
            }
            return lifecycle::connects(self.sock);
        }
        if self.to == state::LISTEN {
            return local_initiators::listens(&TcpSock::of(self.sock)?, this_process());
        }
        if self.from == state::LISTEN {
            return local_initiators::stops_listening(&TcpSock::of(self.sock)?, this_process());
        }
        if self.from == state::SYN_SENT {
            let sock = TcpSock::of(self.sock)?;
            if seen == events::ALL && sock.callback_flags() & STATE_CALLBACK != 0 {
                return None;
            }
            return lifecycle::fails(&sock);
        }
        lifecycle::ends(self.sock, self.from)
    }
}
