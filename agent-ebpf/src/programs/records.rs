//! What the agent hears of one connection: that it ended and what it moved, that its peer is unexpected, who owns it.

use agent_ebpf::{
    Account, CLOSED, Connection, DropReason, End, Record, Role, UnexpectedPeer, classify::Flow,
};
use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;

use crate::programs::{
    atomic::{MapValue, word},
    classify::flow,
    control::{count_drop, now, records_connections},
    maps::{RECORDS, UNEXPECTED_PEERS},
    socket::TcpSock,
};

/// The agent looks every round: nobody has to be woken.
const WITHOUT_WAKING: u64 = BPF_RB_NO_WAKEUP as u64;

/// The connection of a flow that a slot counts.
#[inline(always)]
pub(super) fn connection(flow: &Flow, slot: u32) -> Connection {
    Connection {
        address: flow.remote,
        remote_port: flow.remote_port,
        local_port: flow.local_port,
        slot,
    }
}

/// Reports an unexpected peer; `process` has opened the connection, 0 if it is not known.
#[inline(always)]
pub(super) fn report_unexpected_peer(flow: &Flow, slot: u32, role: Role, process: u32) {
    let peer = UnexpectedPeer {
        connection: connection(flow, slot),
        role: role as u32,
        process,
    };
    if UNEXPECTED_PEERS.output(peer, WITHOUT_WAKING).is_err() {
        count_drop(DropReason::UnexpectedPeers);
    }
}

/// Reports a connection that has ended, once its account is closed.
#[inline(always)]
pub(super) fn report_end(account: MapValue<Account>, sock: &TcpSock, end: End) {
    if !records_connections() {
        return;
    }
    let Some(flow) = flow(sock, false) else {
        return;
    };
    match RECORDS.reserve(0) {
        Some(mut entry) => {
            let record = record(account, sock, &flow, end as u32);
            // SAFETY: the entry is as large as a record.
            unsafe { entry.as_mut_ptr().write(record) };
            entry.submit(WITHOUT_WAKING);
        }
        None => count_drop(DropReason::Records),
    }
}

/// The record of a connection; `end` as in [`Record`].
#[inline(always)]
pub(super) fn record(account: MapValue<Account>, sock: &TcpSock, flow: &Flow, end: u32) -> Record {
    let since_began = |sum: u64, base: u64| (sum & !CLOSED).wrapping_sub(base);
    Record {
        connection: Connection {
            local_port: sock.source_port(),
            ..connection(flow, word!(account, slot).get())
        },
        local: flow.local,
        began: word!(account, began).get(),
        ended: now(),
        transmit: since_began(
            word!(account, transmit).get(),
            word!(account, base[0]).get(),
        ),
        receive: since_began(word!(account, receive).get(), word!(account, base[1]).get()),
        retransmit: since_began(
            word!(account, retransmit).get(),
            word!(account, base[2]).get(),
        ),
        smoothed: sock.smoothed_rtt(),
        role: Role::of(word!(account, initiator).get() != 0) as u32,
        end,
        adopted: word!(account, adopted).get(),
    }
}
