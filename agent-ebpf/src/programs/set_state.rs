//! `tp_btf/inet_sock_set_state`, the beginning and the end of a connection: `claim` when it is established,
//! the last settle when it is closed, nothing on the way. It does all of it where `socket_events` does not see every
//! socket; where that does, it is attached only as long as there are connections of whose end `socket_events` is not told,
//! or parties that share an address: only here it is told who listens.
//!
//! Two programs that do the same, for one reason: the
//! kernel skips a tracing program that is interrupted by itself on one CPU (`prog->active`), as when a
//! segment arrives in a softirq while a process closes another socket. Of two in a row at most one is
//! skipped, and the second does nothing where the first has run. Where tracepoints can be preempted (Linux 7)
//! another task can find both busy, and the agent counts that as `recursion`.
//!
//! Relies on: `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
//! (`include/trace/events/sock.h`, 4.16), raised by `tcp_set_state` and `inet_sk_set_state` with the socket's
//! lock held, before the state is written. To ESTABLISHED: from `tcp_finish_connect` and from
//! `tcp_rcv_state_process`, before any payload moves but that of Fast Open. To CLOSE: before anything is
//! reset, also from `tcp_disconnect`, which zeroes every counter after it. To `SYN_SENT`: from `connect`, in the
//! process that calls it, with both addresses known. To LISTEN, and from there to CLOSE: likewise. All else may run in
//! softirq: never ask for the current task there.

use agent_ebpf::events;
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ffi::c_void;

use super::{
    account,
    begun::{self, this_process},
    claim::claim,
    maps::{Handled, account_of, handled},
    openers,
    socket::{TcpSock, tcp_state},
    socket_events::{self, STATE_ARMED},
};

#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    if let Some(transition) = Transition::of(&ctx) {
        let _ = transition.follow(&ctx);
        if let Some(handled) = handled() {
            // SAFETY: this CPU's element, valid for the length of the program.
            unsafe { transition.note(handled) };
        }
    }
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state_again(ctx: BtfTracePointContext) -> i32 {
    if let Some(transition) = Transition::of(&ctx) {
        let first_ran = handled().is_some_and(|handled| {
            // SAFETY: as above.
            unsafe { transition.take_note(handled) }
        });
        if !first_ran {
            let _ = transition.follow(&ctx);
        }
    }
    0
}

/// A change of state that matters here.
struct Transition {
    sock: *mut c_void,
    from: u8,
    to: u8,
}

impl Transition {
    #[inline(always)]
    fn of(ctx: &BtfTracePointContext) -> Option<Self> {
        // Compared as the kernel passes it, in 32 bits: this is where nearly every run ends.
        let to = ctx.arg::<i32>(2);
        if to != i32::from(tcp_state::ESTABLISHED)
            && to != i32::from(tcp_state::CLOSE)
            && to != i32::from(tcp_state::SYN_SENT)
            && to != i32::from(tcp_state::LISTEN)
        {
            return None;
        }
        Some(Self {
            sock: ctx.arg(0),
            from: ctx.arg::<i32>(1) as u8,
            to: to as u8,
        })
    }

    /// # Safety
    /// `handled` must be valid for the length of the program.
    #[inline(always)]
    unsafe fn note(&self, handled: *mut Handled) {
        // SAFETY: the caller's.
        unsafe {
            (&raw mut (*handled).to).write_volatile(u64::from(self.to));
            (&raw mut (*handled).sock).write_volatile(self.sock as u64);
        }
    }

    /// Whether this change was the last that was noted; a note is good for once.
    ///
    /// # Safety
    /// As for `note`.
    #[inline(always)]
    unsafe fn take_note(&self, handled: *mut Handled) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let to = (&raw const (*handled).to).read_volatile();
            let sock = (&raw const (*handled).sock).read_volatile();
            (&raw mut (*handled).sock).write_volatile(0);
            to == u64::from(self.to) && sock == self.sock as u64
        }
    }

    #[inline(always)]
    fn follow(&self, ctx: &BtfTracePointContext) -> Option<()> {
        let told = socket_events::attached();
        if self.to == tcp_state::ESTABLISHED {
            if told == events::ALL {
                return None;
            }
            // From SYN_RECV it is a listener's child.
            let initiator = self.from == tcp_state::SYN_SENT;
            let sock = TcpSock::from_sock(self.sock)?;
            let account = claim(ctx, &sock, initiator)?;
            // SAFETY: a value of the socket storage.
            unsafe { account::look_if_told(account.as_ptr(), &sock) };
            return Some(());
        }
        if self.to == tcp_state::SYN_SENT {
            if told == events::ALL {
                return None;
            }
            return begun::begins(self.sock);
        }
        if self.to == tcp_state::LISTEN {
            return openers::listens(&TcpSock::from_sock(self.sock)?, this_process());
        }
        if self.from == tcp_state::LISTEN {
            return openers::listens_no_more(&TcpSock::from_sock(self.sock)?, this_process());
        }
        if self.from == tcp_state::SYN_SENT {
            let sock = TcpSock::from_sock(self.sock)?;
            if told == events::ALL && sock.callback_flags() & STATE_ARMED != 0 {
                return None;
            }
            return begun::fails(&sock);
        }
        // SAFETY: the tracepoint's socket, whose lock is held.
        unsafe { end(self.sock, self.from) }
    }
}

/// The last settle of a connection that was in the state `from`; nothing for the second hook that sees the same end.
///
/// # Safety
/// `sock` must be a socket that the verifier knows as one, with its lock held.
#[inline(always)]
pub(super) unsafe fn end(sock: *mut c_void, from: u8) -> Option<()> {
    // SAFETY: the caller's. Asked before what kind of socket it is: most have no account.
    let account = unsafe { account_of(sock) }?;
    let tcp = TcpSock::from_sock(sock)?;
    // SAFETY: a value of the socket storage.
    unsafe { account::close(account.as_ptr(), &tcp, from) };
    // The account goes with the socket: what a process still holds it may still read from, and its messages count. Should
    // it use the socket again (`tcp_disconnect`), that begins anew, see `begun::begins`.
    Some(())
}
