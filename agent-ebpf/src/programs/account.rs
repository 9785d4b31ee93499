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

use core::{
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg},
    mem::MaybeUninit,
};

use agent_ebpf::{Account, CLOSED, Counters, Drop, End, Role, told};

use super::{
    latency,
    maps::{CONTROL, COUNTERS, count_drop},
    openers, records,
    rhythm::end_wait,
    socket::{TcpSock, finished_sending, tcp_state},
    socket_events,
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
    /// As [`Account::segments`].
    segments: u64,
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
    let (segments_out, segments_in) = (sock.data_segs_out(), sock.data_segs_in());
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
        segments: (u64::from(segments_in) << 32 | u64::from(segments_out)) & !CLOSED,
    }
}

/// The top bit is `CLOSED`'s; only an adopted base that is a segment off could reach it.
#[inline(always)]
fn at_least_0(sum: u64) -> u64 {
    if sum & CLOSED == 0 { sum } else { 0 }
}

/// An account in which everything is 0. Word by word: LLVM would make it a call of `memset`, which goes byte by byte
/// here.
#[inline(always)]
fn empty(place: &mut MaybeUninit<Account>) -> &mut Account {
    let words = place.as_mut_ptr().cast::<u64>();
    for word in 0..size_of::<Account>() / size_of::<u64>() {
        // SAFETY: within the place, which is aligned for it.
        unsafe { words.add(word).write_volatile(0) };
    }
    // SAFETY: all of it is written, and of integers.
    unsafe { place.assume_init_mut() }
}

/// The account of a connection whose every byte is counted, at its establishment. Payload that went with a
/// SYN (Fast Open) is behind `snd_nxt` already; no other can be.
#[inline(always)]
pub(super) fn opened<'a>(
    place: &'a mut MaybeUninit<Account>,
    slot: u32,
    sock: &TcpSock,
) -> &'a mut Account {
    let sent = sock.bytes_sent().wrapping_sub(sock.bytes_retrans()) as u32;
    let account = empty(place);
    account.slot = slot;
    account.sequence_base = sock.snd_nxt().wrapping_sub(sent);
    account.began = records::now();
    account
}

/// The account of a connection that is counted from now on.
#[inline(always)]
pub(super) fn adopted<'a>(
    place: &'a mut MaybeUninit<Account>,
    slot: u32,
    sock: &TcpSock,
) -> &'a mut Account {
    let account = empty(place);
    account.slot = slot;
    // Any base near `bytes_acked` serves: the sums are differences from what they are now.
    account.sequence_base = sock.snd_nxt().wrapping_sub(sock.bytes_acked() as u32);
    let Reading {
        transmit,
        receive,
        retransmit,
        segments,
        ..
    } = read(account, sock, || sock.state());
    account.transmit = transmit;
    account.receive = receive;
    account.retransmit = retransmit;
    account.segments = segments;
    account.base = [transmit, receive, retransmit];
    account.began = records::now();
    account.adopted = 1;
    account.opened = 1;
    account.sampled = sock.newest_rtt_sent() as u32;
    account
}

/// Counts a claimed connection as opened; `false` if it is already.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn count_opened(account: *mut Account, slot: u32, role: Role) -> bool {
    // One that was adopted in the moment in which it was established is not older than its account.
    // SAFETY: the caller's.
    let (opened, adopted) = unsafe {
        (
            exchange_32(&raw mut (*account).opened, 1),
            exchange_32(&raw mut (*account).adopted, 0),
        )
    };
    if opened != 0 && adopted == 0 {
        return false;
    }
    if let Some(counters) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: a map value, valid for the length of the program, and the index is below the length.
        unsafe { add(&raw mut (*counters).totals.opened[role as usize], 1) };
    }
    true
}

/// Looks whether `socket_events` is told of the end of an open account's connection, and counts it if not.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn look_if_told(account: *mut Account, sock: &TcpSock) {
    if !socket_events::see_all() || sock.callback_flags() & socket_events::STATE_ARMED != 0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        if (&raw const (*account).told).read_volatile() == told::NOT {
            return;
        }
        if note_told(account, told::NOT) == told::ARMED {
            count_drop(Drop::Disarmed);
        }
        // The end may have come before the note: nobody else would take it back.
        if (&raw const (*account).transmit).read_volatile() & CLOSED != 0 {
            note_told(account, told::UNKNOWN);
        }
    }
}

/// Notes whether `socket_events` is told, of [`told`], and returns what was noted before. Whoever arms a connection notes
/// it after that.
///
/// # Safety
/// As for [`look_if_told`].
#[inline(always)]
pub(super) unsafe fn note_told(account: *mut Account, now: u32) -> u32 {
    // SAFETY: the caller's.
    let before = unsafe { exchange_32(&raw mut (*account).told, now) };
    if (before == told::NOT) != (now == told::NOT)
        && let Some(control) = CONTROL.get_ptr_mut(0)
    {
        let by = if now == told::NOT { 1 } else { u64::MAX };
        // SAFETY: the array's element, valid for the length of the program.
        unsafe { add(&raw mut (*control).untold, by) };
    }
    before
}

/// Brings a slot up to date with an open account, in the walk of this number. Losing a race to the connection's
/// end is fine.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn settle(account: *mut Account, sock: &TcpSock, walk: u64) {
    // SAFETY: the caller's; the three sums are read before the kernel's counters on purpose: whoever
    // settles in between moves them, and the swap fails.
    let before = unsafe { core::ptr::read_volatile(account) };
    if before.transmit & CLOSED != 0 {
        return;
    }
    let Some(slot) = COUNTERS.get_ptr_mut(before.slot) else {
        return;
    };
    // SAFETY: map values, valid for the length of the program; only this iterator writes these fields, and
    // one runs at a time.
    unsafe {
        look_if_told(account, sock);
        count_open(slot, sock, walk);
        latency::sample_unarmed(account, before.sampled, slot, sock);
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
    // SAFETY: `account` and `slot` are map values, valid for the length of the program.
    unsafe {
        let totals = &raw mut (*slot).totals;
        advance(
            &raw mut (*account).transmit,
            before.transmit,
            now.transmit,
            &raw mut (*totals).transmit,
        );
        advance(
            &raw mut (*account).receive,
            before.receive,
            now.receive,
            &raw mut (*totals).receive,
        );
        advance(
            &raw mut (*account).retransmit,
            before.retransmit,
            now.retransmit,
            &raw mut (*totals).retransmit,
        );
        if swap(&raw mut (*account).segments, before.segments, now.segments) {
            add_segments(slot, before.segments, now.segments);
        }
    }
}

/// Adds an open connection to what this walk finds of its slot.
///
/// # Safety
/// `slot` must be valid for the length of the program, and nobody else write these fields.
#[inline(always)]
unsafe fn count_open(slot: *mut Counters, sock: &TcpSock, walk: u64) {
    let smoothed = sock.smoothed_rtt();
    // SAFETY: the caller's.
    unsafe {
        if (*slot).walk != walk {
            (*slot).walk = walk;
            (*slot).open = 0;
            (*slot).measured = 0;
            (*slot).smoothed = 0;
        }
        (*slot).open += 1;
        (*slot).measured += u32::from(smoothed != 0);
        (*slot).smoothed += u64::from(smoothed);
    }
}

/// # Safety
/// `slot` must be valid for the length of the program.
#[inline(always)]
unsafe fn add_segments(slot: *mut Counters, before: u64, now: u64) {
    let sent = (now as u32).wrapping_sub(before as u32);
    // The top bit is `CLOSED`'s on either side.
    let received = ((now >> 32) as u32).wrapping_sub((before >> 32) as u32) & (u32::MAX >> 1);
    // SAFETY: the caller's; the indexes are below the length.
    unsafe {
        add(&raw mut (*slot).totals.segments[0], u64::from(sent));
        add(&raw mut (*slot).totals.segments[1], u64::from(received));
    }
}

/// # Safety
/// Both places must be valid for the length of the program.
#[inline(always)]
unsafe fn advance(sum: *mut u64, before: u64, now: u64, counter: *mut u64) {
    // SAFETY: the caller's.
    if unsafe { swap(sum, before, now) } {
        // SAFETY: the caller's.
        unsafe { add(counter, now.wrapping_sub(before)) };
    }
}

/// Moves a sum from `before` to `now`, if there is anything to move and nobody has moved it meanwhile.
///
/// # Safety
/// `sum` must be valid for the length of the program.
#[inline(always)]
pub(super) unsafe fn swap(sum: *mut u64, before: u64, now: u64) -> bool {
    // SAFETY: the caller's.
    now != before && unsafe { atomic_cxchg::<u64, RELAXED, RELAXED>(sum, before, now) }.1
}

/// Settles for the last time, with the counters as they are; the caller holds the socket's lock. Does nothing the
/// second time.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn close(account: *mut Account, sock: &TcpSock, last_state: u8) {
    // SAFETY: the caller's.
    let (slot, transmit) = unsafe {
        (
            (*account).slot,
            (&raw const (*account).transmit).read_volatile(),
        )
    };
    if transmit & CLOSED != 0 {
        return;
    }
    let now = read(account, sock, || last_state);
    let Some(slot): Option<*mut Counters> = COUNTERS.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: `account` and `slot` are map values, valid for the length of the program; the index is below the
    // length.
    unsafe {
        let totals = &raw mut (*slot).totals;
        finish(
            &raw mut (*account).transmit,
            now.transmit,
            &raw mut (*totals).transmit,
        );
        finish(
            &raw mut (*account).receive,
            now.receive,
            &raw mut (*totals).receive,
        );
        finish(
            &raw mut (*account).retransmit,
            now.retransmit,
            &raw mut (*totals).retransmit,
        );
        let before = exchange(&raw mut (*account).segments, now.segments | CLOSED);
        if before & CLOSED == 0 {
            add_segments(slot, before, now.segments);
            let end = how(sock.error(), last_state);
            add(&raw mut (*totals).closed[end as usize], 1);
            note_told(account, told::UNKNOWN);
            end_wait(account, slot);
            records::ended(account, sock, end);
            if (*account).initiator != 0 {
                openers::forget(sock);
            }
        }
    }
}

/// How a connection ended that leaves this state with this error: `tcp_reset` and `tcp_write_err` (a timeout, or
/// what a router said about it) set the error before they change the state, everything else leaves it 0.
#[inline(always)]
fn how(error: i32, last_state: u8) -> End {
    const EPIPE: i32 = 32;
    const ECONNABORTED: i32 = 103;
    const ECONNRESET: i32 = 104;
    const ECONNREFUSED: i32 = 111;
    match error {
        // A process that closes with unread data, or without lingering, goes straight to CLOSE.
        0 if matches!(
            last_state,
            tcp_state::ESTABLISHED | tcp_state::CLOSE_WAIT | tcp_state::SYN_RECV
        ) =>
        {
            End::Reset
        }
        0 => End::Fin,
        EPIPE | ECONNABORTED | ECONNRESET | ECONNREFUSED => End::Reset,
        _ => End::Timeout,
    }
}

/// # Safety
/// Both places must be valid for the length of the program.
#[inline(always)]
unsafe fn finish(sum: *mut u64, now: u64, counter: *mut u64) {
    // SAFETY: the caller's.
    let before = unsafe { exchange(sum, now | CLOSED) };
    if before & CLOSED == 0 && now != before {
        // SAFETY: the caller's.
        unsafe { add(counter, now.wrapping_sub(before)) };
    }
}

/// # Safety
/// `place` must be valid for the length of the program.
#[inline(always)]
unsafe fn exchange(place: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { atomic_xchg::<u64, RELAXED>(place, value) }
}

/// # Safety
/// As for `exchange`.
#[inline(always)]
unsafe fn exchange_32(place: *mut u32, value: u32) -> u32 {
    // Not relaxed: LLVM 22 then forgets that the old value is wanted.
    // SAFETY: the caller's.
    unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(place, value) }
}
