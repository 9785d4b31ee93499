//! An account: made when a socket is claimed or adopted, settled until it is closed.
//!
//! Exactness rests on three things.
//!
//! 1. What is counted comes from fields that the kernel writes once per event and that are read once here,
//!    so a reader without the socket's lock never sees a half-made sum. Transmitted payload is the
//!    distance that `snd_nxt` has come: unlike `bytes_sent - bytes_retrans` it does not count a segment
//!    twice that the local queue refused (`tcp_write_xmit`, `net/ipv4/tcp_output.c`, leaves `snd_nxt` where
//!    it was, while `__tcp_transmit_skb` has already added to `bytes_sent`). Its upper half comes from
//!    `bytes_acked`, from which it is never further than a window (2^30, `MAX_TCP_WINDOW`).
//! 2. SYN and FIN take a sequence number each: see `finished_sending` and `finished_receiving`. The kernel
//!    adds a FIN a moment before it marks it, so of what has arrived since the last settle the iterator
//!    holds the last byte back until the next.
//! 3. An account's sums move by compare-and-swap, and the slot by what the account moved, so iterators and
//!    the end of the connection may race. The last settle marks the sums `CLOSED`; whoever read them
//!    before loses the swap.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

use agent_ebpf::{Account, CLOSED, Counters};

use super::{
    maps::COUNTERS,
    socket::{TcpSock, finished_sending},
};

const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;

/// `*place += value`, atomically, wrapping: a negative correction is its two's complement.
///
/// # Safety
/// `place` must be valid for the length of the program.
#[inline(always)]
pub(super) unsafe fn add(place: *mut u64, value: u64) {
    // SAFETY: the caller's.
    let _before = unsafe { atomic_xadd::<u64, u64, RELAXED>(place, value) };
}

/// Payload bytes of a connection since it was claimed or adopted.
struct Reading {
    transmit: u64,
    receive: u64,
    retransmit: u64,
    /// `receive`, and the peer's FIN.
    received: u64,
}

/// Reads the kernel's counters. `state` is the one that the connection is in, or, at its end, was in.
///
/// Field by field in an order that errs low without the lock: `snd_nxt` before `write_seq` before the
/// state that says whether a FIN was queued.
#[inline(always)]
fn read(account: *const Account, sock: &TcpSock, state: impl FnOnce() -> u8) -> Reading {
    let acked = sock.bytes_acked();
    let next = sock.snd_nxt();
    let write = sock.write_seq();
    let received = sock.bytes_received();
    let retransmit = sock.bytes_retrans();
    let fin_sent = finished_sending(state(), next, write);
    // SAFETY: the account is a map value that lives as long as the program runs.
    let base = unsafe { (*account).sequence_base };
    let low = next.wrapping_sub(base);
    let apart = low.wrapping_sub(acked as u32).cast_signed();
    let transmit = acked.wrapping_add_signed(i64::from(apart));
    Reading {
        transmit: at_least_0(transmit.wrapping_sub(u64::from(fin_sent))),
        // A FIN in a Fast Open SYN is not in `bytes_received` (`tcp_fastopen_add_skb`).
        receive: received.saturating_sub(u64::from(sock.finished_receiving())),
        retransmit,
        received,
    }
}

/// The top bit is `CLOSED`'s; only an adopted base that is a segment off could reach it.
#[inline(always)]
fn at_least_0(sum: u64) -> u64 {
    if sum & CLOSED == 0 { sum } else { 0 }
}

/// The account of a connection whose every byte is counted, at its establishment. Payload that went with a
/// SYN (Fast Open) is behind `snd_nxt` already; no other can be.
#[inline(always)]
pub(super) fn opened(slot: u32, sock: &TcpSock) -> Account {
    let sent = sock.bytes_sent().wrapping_sub(sock.bytes_retrans()) as u32;
    Account {
        slot,
        sequence_base: sock.snd_nxt().wrapping_sub(sent),
        ..Account::default()
    }
}

/// The account of a connection that is counted from now on.
#[inline(always)]
pub(super) fn adopted(slot: u32, sock: &TcpSock) -> Account {
    let mut account = Account {
        slot,
        // Any base near `bytes_acked` serves: the sums are differences from what they are now.
        sequence_base: sock.snd_nxt().wrapping_sub(sock.bytes_acked() as u32),
        ..Account::default()
    };
    let Reading {
        transmit,
        receive,
        retransmit,
        ..
    } = read(&raw const account, sock, || sock.state());
    account.transmit = transmit;
    account.receive = receive;
    account.retransmit = retransmit;
    account
}

/// Brings a slot up to date with an open account. Losing a race to the connection's end is fine.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn settle(account: *mut Account, sock: &TcpSock) {
    // SAFETY: the caller's; the three sums are read before the kernel's counters on purpose: whoever
    // settles in between moves them, and the swap fails.
    let before = unsafe { core::ptr::read_volatile(account) };
    if before.transmit & CLOSED != 0 {
        return;
    }
    // Most connections are idle at most moments: three fields tell, before seven are read.
    let distance = sock.snd_nxt().wrapping_sub(before.sequence_base);
    if distance == before.transmit as u32
        && sock.bytes_received() == before.receive
        && sock.bytes_retrans() == before.retransmit
    {
        return;
    }
    let mut now = read(account, sock, || sock.state());
    if now.received != before.received {
        // SAFETY: the caller's; only this iterator writes it, and one runs at a time.
        unsafe { (&raw mut (*account).received).write_volatile(now.received) };
        if now.received == now.receive && now.receive > before.receive {
            now.receive -= 1;
        }
    }
    let Some(slot) = COUNTERS.get_ptr_mut(before.slot) else {
        return;
    };
    // SAFETY: `account` and `slot` are map values, valid for the length of the program.
    unsafe {
        advance(
            &raw mut (*account).transmit,
            before.transmit,
            now.transmit,
            &raw mut (*slot).transmit,
        );
        advance(
            &raw mut (*account).receive,
            before.receive,
            now.receive,
            &raw mut (*slot).receive,
        );
        advance(
            &raw mut (*account).retransmit,
            before.retransmit,
            now.retransmit,
            &raw mut (*slot).retransmit,
        );
    }
}

/// # Safety
/// Both places must be valid for the length of the program.
#[inline(always)]
unsafe fn advance(sum: *mut u64, before: u64, now: u64, counter: *mut u64) {
    if now == before {
        return;
    }
    // SAFETY: the caller's.
    let (_, swapped) = unsafe { atomic_cxchg::<u64, RELAXED, RELAXED>(sum, before, now) };
    if swapped {
        // SAFETY: the caller's.
        unsafe { add(counter, now.wrapping_sub(before)) };
    }
}

/// Settles for the last time, with the counters as they are; the caller holds the socket's lock.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn close(account: *mut Account, sock: &TcpSock, last_state: u8) {
    let now = read(account, sock, || last_state);
    // SAFETY: the caller's.
    let slot = unsafe { (*account).slot };
    let Some(slot): Option<*mut Counters> = COUNTERS.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: `account` and `slot` are map values, valid for the length of the program.
    unsafe {
        finish(
            &raw mut (*account).transmit,
            now.transmit,
            &raw mut (*slot).transmit,
        );
        finish(
            &raw mut (*account).receive,
            now.receive,
            &raw mut (*slot).receive,
        );
        finish(
            &raw mut (*account).retransmit,
            now.retransmit,
            &raw mut (*slot).retransmit,
        );
    }
}

/// # Safety
/// Both places must be valid for the length of the program.
#[inline(always)]
unsafe fn finish(sum: *mut u64, now: u64, counter: *mut u64) {
    // SAFETY: the caller's.
    let before = unsafe { atomic_xchg::<u64, RELAXED>(sum, now | CLOSED) };
    if before & CLOSED == 0 && now != before {
        // SAFETY: the caller's.
        unsafe { add(counter, now.wrapping_sub(before)) };
    }
}
