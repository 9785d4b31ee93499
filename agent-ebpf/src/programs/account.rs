//! An account: made when a socket is claimed or adopted, settled until it is closed.
//!
//! Exactness rests on three things.
//!
//! 1. What is counted comes from fields that the kernel writes once per event and that are read once here, so a reader
//!    without the socket's lock never sees a half-made sum. Transmitted payload is the distance that `snd_nxt` has come:
//!    unlike `bytes_sent - bytes_retrans` it does not count a segment twice that the local queue refused
//!    (`tcp_write_xmit`, `net/ipv4/tcp_output.c`, leaves `snd_nxt` where it was, while `__tcp_transmit_skb` has already
//!    added to `bytes_sent`). Its upper half comes from `bytes_acked`, from which it is never further than a window
//!    (2^30, `MAX_TCP_WINDOW`).
//! 2. SYN and FIN take a sequence number each: see `tcp::has_sent_fin` and `TcpSock::finished_receiving`. The kernel adds
//!    a FIN a moment before it marks it, so of what has arrived since the last settle a walk holds the last byte back
//!    until the next.
//! 3. An account's sums move by compare-and-swap, and the slot by what the account moved, so walks and the end of the
//!    connection may race. The last settle marks the sums `CLOSED`; whoever read them before loses the swap.

use core::mem::MaybeUninit;

use agent_ebpf::{
    Account, CLOSED, Counters, DropReason, End, Role, close_callback,
    tcp::{self, has_sent_fin},
};

use crate::programs::{
    atomic::{MapValue, Word, word},
    control::{STATE_CALLBACK, control, count_drop, now, records_connections, sees_all_events},
    counters::{count_open, counters, sample_rtt},
    socket::TcpSock,
    storage::is_closed,
};

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
/// Field by field in an order that errs low without the lock: `snd_nxt` before `write_seq` before the state that says
/// whether a FIN was queued.
#[inline(always)]
fn read(sequence_base: u32, sock: &TcpSock, state: impl FnOnce() -> u8) -> Reading {
    let acked = sock.bytes_acked();
    let next = sock.snd_nxt();
    let write = sock.write_seq();
    let received = sock.bytes_received();
    let retransmit = sock.bytes_retrans();
    let (segments_out, segments_in) = (sock.data_segs_out(), sock.data_segs_in());
    let fin_sent = has_sent_fin(state(), next, write);
    let low = next.wrapping_sub(sequence_base);
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

/// An account of 0s. Word by word: LLVM would call `memset`, which goes byte by byte here.
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

/// When an account is made, where connections are recorded.
#[inline(always)]
fn began() -> u64 {
    if records_connections() { now() } else { 0 }
}

/// The account of a connection whose every byte is counted, at its establishment. Payload that went with a SYN (Fast
/// Open) is behind `snd_nxt` already; no other can be.
#[inline(always)]
pub(super) fn claimed<'a>(
    place: &'a mut MaybeUninit<Account>,
    slot: u32,
    sock: &TcpSock,
) -> &'a mut Account {
    let sent = sock.bytes_sent().wrapping_sub(sock.bytes_retrans()) as u32;
    let account = empty(place);
    account.slot = slot;
    account.sequence_base = sock.snd_nxt().wrapping_sub(sent);
    account.began = began();
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
    } = read(account.sequence_base, sock, || sock.state());
    account.transmit = transmit;
    account.receive = receive;
    account.retransmit = retransmit;
    account.segments = segments;
    account.base = [transmit, receive, retransmit];
    account.began = began();
    account.adopted = 1;
    account.opened = 1;
    account.sampled = sock.newest_rtt_sent() as u32;
    account
}

/// Counts a claimed connection as opened; `false` if it is already.
#[inline(always)]
pub(super) fn count_opened(account: MapValue<Account>, slot: u32, role: Role) -> bool {
    // One that was adopted in the moment in which it was established is not older than its account.
    let opened = word!(account, opened).exchange(1);
    let adopted = word!(account, adopted).exchange(0);
    if opened != 0 && adopted == 0 {
        return false;
    }
    if let Some(counters) = counters(slot) {
        word!(counters, totals.opened[role as usize]).add(1);
    }
    true
}

/// Looks whether `socket_events` will be called at the end of an open account's connection, and notes it if not.
#[inline(always)]
pub(super) fn check_close_callback(account: MapValue<Account>, sock: &TcpSock) {
    if !sees_all_events() || sock.callback_flags() & STATE_CALLBACK != 0 {
        return;
    }
    if word!(account, close_callback).get() == close_callback::NOT_ARMED {
        return;
    }
    if set_close_callback(account, close_callback::NOT_ARMED) == close_callback::ARMED {
        count_drop(DropReason::Disarmed);
    }
    // The end may have come before the note: nobody else would take it back.
    if is_closed(account) {
        set_close_callback(account, close_callback::UNKNOWN);
    }
}

/// Notes the state of the callback, of [`close_callback`], and returns what it was. Whoever arms it notes it after that.
#[inline(always)]
pub(super) fn set_close_callback(account: MapValue<Account>, now: u32) -> u32 {
    let before = word!(account, close_callback).exchange(now);
    if (before == close_callback::NOT_ARMED) != (now == close_callback::NOT_ARMED)
        && let Some(control) = control()
    {
        let by = if now == close_callback::NOT_ARMED {
            1
        } else {
            u64::MAX
        };
        word!(control, unarmed).add(by);
    }
    before
}

/// Brings a slot up to date with an open account, in the walk of this number. Losing a race to the connection's end is
/// fine.
#[inline(always)]
pub(super) fn settle(account: MapValue<Account>, sock: &TcpSock, walk: u64) {
    // The sums are read before the kernel's counters on purpose: whoever settles in between moves them, and the swap
    // fails.
    let transmit = word!(account, transmit).get();
    let receive = word!(account, receive).get();
    let retransmit = word!(account, retransmit).get();
    let segments = word!(account, segments).get();
    let base = word!(account, sequence_base).get();
    if transmit & CLOSED != 0 {
        return;
    }
    let Some(slot) = counters(word!(account, slot).get()) else {
        return;
    };
    check_close_callback(account, sock);
    count_open(slot, sock, walk);
    sample_rtt(account, word!(account, sampled).get(), slot, sock);
    // Most connections are idle at most moments: three fields tell, before seven are read.
    let distance = sock.snd_nxt().wrapping_sub(base);
    if distance == transmit as u32
        && sock.bytes_received() == receive
        && sock.bytes_retrans() == retransmit
    {
        return;
    }
    let mut now = read(base, sock, || sock.state());
    let received = word!(account, received);
    if now.received != received.get() {
        received.set(now.received);
        if now.received == now.receive && now.receive > receive {
            now.receive -= 1;
        }
    }
    advance(
        word!(account, transmit),
        transmit,
        now.transmit,
        word!(slot, totals.transmit),
    );
    advance(
        word!(account, receive),
        receive,
        now.receive,
        word!(slot, totals.receive),
    );
    advance(
        word!(account, retransmit),
        retransmit,
        now.retransmit,
        word!(slot, totals.retransmit),
    );
    if word!(account, segments).swap(segments, now.segments) {
        add_segments(slot, segments, now.segments);
    }
}

#[inline(always)]
fn advance(sum: Word<u64>, before: u64, now: u64, counter: Word<u64>) {
    if sum.swap(before, now) {
        counter.add(now.wrapping_sub(before));
    }
}

#[inline(always)]
fn add_segments(slot: MapValue<Counters>, before: u64, now: u64) {
    let sent = (now as u32).wrapping_sub(before as u32);
    // The top bit is `CLOSED`'s on either side.
    let received = ((now >> 32) as u32).wrapping_sub((before >> 32) as u32) & (u32::MAX >> 1);
    word!(slot, totals.segments[0]).add(u64::from(sent));
    word!(slot, totals.segments[1]).add(u64::from(received));
}

/// Settles for the last time, with the counters as they are; the caller holds the socket's lock. Returns how the
/// connection ended and its counters, `None` if that was done before.
#[inline(always)]
pub(super) fn close(
    account: MapValue<Account>,
    sock: &TcpSock,
    last_state: u8,
) -> Option<(End, MapValue<Counters>)> {
    let slot = word!(account, slot).get();
    if is_closed(account) {
        return None;
    }
    let base = word!(account, sequence_base).get();
    let now = read(base, sock, || last_state);
    let slot = counters(slot)?;
    finish(
        word!(account, transmit),
        now.transmit,
        word!(slot, totals.transmit),
    );
    finish(
        word!(account, receive),
        now.receive,
        word!(slot, totals.receive),
    );
    finish(
        word!(account, retransmit),
        now.retransmit,
        word!(slot, totals.retransmit),
    );
    let before = word!(account, segments).exchange(now.segments | CLOSED);
    if before & CLOSED != 0 {
        return None;
    }
    add_segments(slot, before, now.segments);
    let end = tcp::end(sock.error(), last_state);
    word!(slot, totals.closed[end as usize]).add(1);
    set_close_callback(account, close_callback::UNKNOWN);
    Some((end, slot))
}

#[inline(always)]
fn finish(sum: Word<u64>, now: u64, counter: Word<u64>) {
    let before = sum.exchange(now | CLOSED);
    if before & CLOSED == 0 && now != before {
        counter.add(now.wrapping_sub(before));
    }
}
