//! The life of a connection: it begins or fails, is claimed or adopted, changes hands, is closed; and what follows from
//! each.

use core::mem::MaybeUninit;

use agent_ebpf::{Account, PendingConnect, Role, close_callback, tcp};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;

use crate::programs::{
    account::{self, check_close_callback, set_close_callback},
    atomic::{MapValue, word},
    classify::{flow, is_allowed, is_mpc, is_shared, slot, unexpected_slot},
    control::{counts, is_unknown},
    counters::counters,
    local_initiators,
    maps::PROCESSES,
    messages::end_wait,
    records::{report_end, report_unexpected_peer},
    socket::{SockPtr, TcpSock, this_process},
    storage::{
        account_of, drop_account, drop_pending_connect, is_closed, open_account, pending_connect,
        store_pending_connect,
    },
};

/// A process connects. Notes which one where it has MPC connections and the peer is unexpected, and where it may be one
/// of several parties at its address. Runs in that process.
#[inline(always)]
pub(super) fn connects(sock: SockPtr) -> Option<()> {
    // Of an earlier connection of the same socket.
    drop_account(sock);
    let process = this_process();
    // SAFETY: a word, which is read whole.
    let watched = unsafe { PROCESSES.get(process).copied() }.unwrap_or(0) != 0;
    let listener = local_initiators::is_listener(process);
    if !watched && !listener {
        return None;
    }
    let tcp = TcpSock::of(sock)?;
    let flow = flow(&tcp, true)?;
    let unexpected = watched && slot(&flow).is_none() && !is_allowed(&flow);
    if unexpected || listener {
        let unexpected = u32::from(unexpected);
        let mut pending = PendingConnect {
            process,
            unexpected,
        };
        store_pending_connect(tcp.sock(), &mut pending);
    } else {
        drop_pending_connect(tcp.sock());
    }
    Some(())
}

/// Whether a connection that begins here would be MPC.
#[inline(always)]
pub(super) fn connects_to_party(sock: &TcpSock) -> bool {
    flow(sock, true).is_some_and(|flow| is_mpc(&flow))
}

/// A connection of this side was not established.
#[inline(always)]
pub(super) fn fails(sock: &TcpSock) -> Option<()> {
    let slot = slot(&flow(sock, true)?)?;
    if !counts() {
        return None;
    }
    word!(counters(slot)?, totals.failures).add(1);
    Some(())
}

/// Claims an MPC connection that is established. `initiator`: this side opened it (a simultaneous open counts as
/// accepted). May be called again for the same socket.
#[inline(always)]
pub(super) fn claim<C: EbpfContext>(
    ctx: &C,
    sock: &TcpSock,
    initiator: bool,
) -> Option<MapValue<Account>> {
    let flow = flow(sock, initiator)?;
    let (slot, process) = match slot(&flow) {
        Some(slot) => {
            if initiator
                && is_shared(flow.local)
                && let Some(pending) = pending_connect(sock.sock())
            {
                local_initiators::publish(&flow, pending.process);
            }
            (slot, 0)
        }
        None if initiator => {
            let pending = pending_connect(sock.sock())?;
            if pending.unexpected == 0 {
                return None;
            }
            (unexpected_slot(&flow), pending.process)
        }
        None => return None,
    };
    let mut place = MaybeUninit::uninit();
    let claimed = account::claimed(&mut place, slot, sock);
    claimed.initiator = u32::from(initiator);
    let account = open_account(sock.sock(), claimed)?;
    let role = Role::of(initiator);
    if account::count_opened(account, slot, role) {
        if is_unknown(slot) {
            report_unexpected_peer(&flow, slot, role, process);
        }
        log_claim(ctx, slot, flow.local_port, flow.remote_port);
    }
    Some(account)
}

/// A function of its own, so that what is off by default takes no registers and no stack from the claim.
#[inline(never)]
fn log_claim<C: EbpfContext>(ctx: &C, slot: u32, local_port: u16, remote_port: u16) {
    debug!(
        ctx,
        "claimed: slot {}, local port {}, remote port {}", slot, local_port, remote_port
    );
}

/// Adopts an MPC connection that has no open account: it is counted from now on.
#[inline(always)]
pub(super) fn adopt(sock: &TcpSock) -> Option<()> {
    if !tcp::may_move_payload(sock.state()) {
        return None;
    }
    if account_of(sock.sock()).is_some_and(|account| !is_closed(account)) {
        return None;
    }
    let initiator = sock.connected_out();
    let slot = slot(&flow(sock, initiator)?)?;
    let mut place = MaybeUninit::uninit();
    let adopted = account::adopted(&mut place, slot, sock);
    adopted.initiator = u32::from(initiator);
    let account = open_account(sock.sock(), adopted)?;
    check_close_callback(account, sock);
    Some(())
}

/// Moves an open account to its slot by the tables as they are now, or drops it if it has none. What was counted stays
/// where it is: the old slot is brought up to date first.
///
/// The end of the connection may race: it reads the slot once and marks the sums, so a byte goes to the old slot or to
/// the new one, and never to both.
#[inline(always)]
pub(super) fn reclassify(account: MapValue<Account>, sock: &TcpSock, walk: u64) -> Option<()> {
    // What has ended stays where it was counted, and so do the messages that are still read.
    if is_closed(account) {
        return None;
    }
    let before = word!(account, slot).get();
    let initiator = word!(account, initiator).get() != 0;
    let flow = flow(sock, initiator)?;
    let now = match slot(&flow) {
        // What an MPC program has opened to an unexpected peer stays that until it is allowed.
        None if initiator && is_unknown(before) && !is_allowed(&flow) => {
            Some(unexpected_slot(&flow))
        }
        now => now,
    };
    if now == Some(before) {
        return None;
    }
    account::settle(account, sock, walk);
    if let Some(slot) = counters(before) {
        end_wait(account, slot);
    }
    if let Some(slot) = now {
        word!(account, slot).set(slot);
    } else {
        set_close_callback(account, close_callback::UNKNOWN);
        drop_account(sock.sock());
    }
    Some(())
}

/// A connection that was in the state `last_state` ends; the hook holds the socket's lock. Does nothing for the second
/// hook that sees the same end.
///
/// The account goes with the socket, not now: messages that a process still reads from it count. Should the process use
/// the socket again (`tcp_disconnect`), `connects` takes the account away.
#[inline(always)]
pub(super) fn ends(sock: SockPtr, last_state: u8) -> Option<()> {
    // Asked before what kind of socket it is: most have no account.
    let account = account_of(sock)?;
    let tcp = TcpSock::of(sock)?;
    let (end, slot) = account::close(account, &tcp, last_state)?;
    end_wait(account, slot);
    report_end(account, &tcp, end);
    if word!(account, initiator).get() != 0 {
        local_initiators::forget(&tcp);
    }
    Some(())
}
