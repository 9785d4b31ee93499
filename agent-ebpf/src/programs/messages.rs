//! Messages, rounds, and how long this node waits for a party.
//!
//! By slot, not by connection: MPC programs open several connections to a party, some one for each direction. A round is
//! a receiving call after a sending one; the wait is the time between the two. Both are estimates where the parties send
//! at the same time, or a program sends ahead, or does something else before it reads. A wait without an answer is over
//! with the connection, so that the next program's first message is not taken for it.

use agent_ebpf::{Account, Counters};

use crate::programs::{
    atomic::{MapValue, word},
    control::{counts, now},
    counters::{counters, observe},
    socket::SockPtr,
    storage::account_of,
};

const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;

/// A call that sends has returned `result`.
#[inline(always)]
pub(super) fn sent(sock: SockPtr, result: i32) -> Option<()> {
    let (account, slot) = slot_of(sock, result)?;
    word!(slot, totals.messages[0]).add(1);
    let now = now();
    word!(account, sent).set(now);
    word!(slot, sent).set(now);
    Some(())
}

/// A call that receives, with these flags, has returned `result`.
#[inline(always)]
pub(super) fn received(sock: SockPtr, result: i32, flags: i32) -> Option<()> {
    if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return None;
    }
    let (_, slot) = slot_of(sock, result)?;
    word!(slot, totals.messages[1]).add(1);
    let sent = word!(slot, sent);
    // The exchange is the costly one, and mostly there is nothing.
    if sent.get() == 0 {
        return None;
    }
    let sent = sent.exchange(0);
    if sent == 0 {
        return None;
    }
    word!(slot, totals.rounds).add(1);
    let waited = now().saturating_sub(sent);
    word!(slot, totals.waited).add(waited);
    let waited = waited / 1000;
    let longest = u64::from(u32::MAX);
    let waited = if waited < longest { waited } else { longest };
    observe(word!(slot, waiting), waited as u32);
    Some(())
}

/// Ends a wait without an answer: the connection that was used for the last send is closed, or changes hands.
#[inline(always)]
pub(super) fn end_wait(account: MapValue<Account>, slot: MapValue<Counters>) {
    let sent = word!(account, sent).get();
    if sent != 0 && word!(slot, sent).swap(sent, 0) {
        word!(slot, totals.waited).add(now().saturating_sub(sent));
    }
}

/// The account and the slot of an MPC socket on which a call has moved something.
#[inline(always)]
fn slot_of(sock: SockPtr, result: i32) -> Option<(MapValue<Account>, MapValue<Counters>)> {
    if result <= 0 || !sock.has_storage() {
        return None;
    }
    let account = account_of(sock)?;
    if !counts() {
        return None;
    }
    Some((account, counters(word!(account, slot).get())?))
}
