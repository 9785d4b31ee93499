//! `tp_btf/sock_send_length` and `sock_recv_length`, or `fexit` of `tcp_sendmsg` and `tcp_recvmsg`: messages, rounds, and how long a party lets us wait.
//!
//! By slot, not by connection: MPC programs open several connections to a party, some one for each direction. A
//! round is a receiving call after a sending one; the wait is the time between the two. Both are estimates where the
//! parties send at the same time, or a program sends ahead, or does something else before it reads. A wait without an
//! answer is over with the connection, so that the next program's first message is not taken for it.
//!
//! Relies on: `sock_send_length` and `sock_recv_length` { sk, ret, flags } (`include/trace/events/sock.h`, 6.3),
//! raised by `sock_sendmsg` and `sock_recvmsg` (`net/socket.c`) for every kind of socket and every way to call them,
//! in the process that calls. Not raised where data is spliced or mapped out of a socket. Before 6.3:
//! `tcp_sendmsg(sk, msg, size)`, `tcp_recvmsg(sk, msg, len, flags, addr_len)`, before 5.19 with `nonblock` before the
//! flags (`net/ipv4/tcp.c`); the function's result comes after its parameters. `sendfile` does not call them there.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xchg},
};

use agent_ebpf::{Account, Counters};
use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns,
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};

use super::{
    account::{add, swap},
    histogram::observe,
    maps::{COUNTERS, account_of, counts},
    socket::{has_storage, receive_parameters},
};

const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;

#[btf_tracepoint(function = "sock_send_length")]
fn sent(ctx: BtfTracePointContext) -> i32 {
    let _ = count_sent(ctx.arg(0), ctx.arg(1));
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
fn received(ctx: BtfTracePointContext) -> i32 {
    let _ = count_received(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[fexit(function = "tcp_sendmsg")]
fn sent_at_exit(ctx: FExitContext) -> i32 {
    let _ = count_sent(ctx.arg(0), ctx.arg(3));
    0
}

#[fexit(function = "tcp_recvmsg")]
fn received_at_exit(ctx: FExitContext) -> i32 {
    let _ = if receive_parameters() == 5 {
        count_received(ctx.arg(0), ctx.arg(5), ctx.arg(3))
    } else {
        count_received(ctx.arg(0), ctx.arg(6), ctx.arg(4))
    };
    0
}

#[inline(always)]
fn count_sent(sock: *mut c_void, result: i32) -> Option<()> {
    let (account, slot) = slot_of(sock, result)?;
    // SAFETY: map values, valid for the length of the program; the index is below the length.
    unsafe {
        add(&raw mut (*slot).totals.messages[0], 1);
        let now = bpf_ktime_get_ns();
        (&raw mut (*account).sent).write_volatile(now);
        (&raw mut (*slot).sent).write_volatile(now);
    }
    Some(())
}

#[inline(always)]
fn count_received(sock: *mut c_void, result: i32, flags: i32) -> Option<()> {
    if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return None;
    }
    let (_, slot) = slot_of(sock, result)?;
    // SAFETY: a map value, valid for the length of the program; the index is below the length.
    unsafe {
        add(&raw mut (*slot).totals.messages[1], 1);
        let place = &raw mut (*slot).sent;
        if place.read_volatile() == 0 {
            return None;
        }
        let sent = atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(place, 0);
        if sent == 0 {
            return None;
        }
        add(&raw mut (*slot).totals.rounds, 1);
        let waited = bpf_ktime_get_ns().saturating_sub(sent);
        add(&raw mut (*slot).totals.waited, waited);
        let waited = waited / 1000;
        let longest = u64::from(u32::MAX);
        let waited = if waited < longest { waited } else { longest };
        observe(&raw mut (*slot).waiting, waited as u32);
    }
    Some(())
}

/// A wait is over without an answer: the connection over which was sent last is closed, or another party's from now on.
///
/// # Safety
/// Both must be valid for the length of the program.
#[inline(always)]
pub(super) unsafe fn end_wait(account: *mut Account, slot: *mut Counters) {
    // SAFETY: the caller's.
    unsafe {
        let sent = (&raw const (*account).sent).read_volatile();
        if sent != 0 && swap(&raw mut (*slot).sent, sent, 0) {
            let waited = bpf_ktime_get_ns().saturating_sub(sent);
            add(&raw mut (*slot).totals.waited, waited);
        }
    }
}

/// The account and the slot of an MPC socket on which a call has moved something.
#[inline(always)]
fn slot_of(sock: *mut c_void, result: i32) -> Option<(*mut Account, *mut Counters)> {
    if result <= 0 || !has_storage(sock) {
        return None;
    }
    // SAFETY: the hook's socket.
    let account = unsafe { account_of(sock) }?;
    if !counts() {
        return None;
    }
    // SAFETY: a value of the socket storage.
    let slot = COUNTERS.get_ptr_mut(unsafe { (*account.as_ptr()).slot })?;
    Some((account.as_ptr(), slot))
}
