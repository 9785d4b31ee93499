//! Connections one by one, where they are wanted: each as it ends, and by `iter/task_file` those that are open.

use agent_ebpf::{Account, CLOSED, End, OPEN, Record, Role};
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use super::{
    classify::Connection,
    iterator::{At, Files, write},
    maps::{is_closed, report_record},
    socket::{TcpSock, records},
};

/// When an account is made, as far as anybody wants to know.
#[inline(always)]
pub(super) fn now() -> u64 {
    if !records() {
        return 0;
    }
    // SAFETY: it has no conditions.
    unsafe { bpf_ktime_get_ns() }
}

/// A connection has ended; its account has been settled for the last time.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn ended(account: *const Account, sock: &TcpSock, end: End) {
    if !records() {
        return;
    }
    if let Some(connection) = Connection::of(sock, false) {
        report_record(|place| {
            // SAFETY: the caller's; the place is as large.
            unsafe { place.write(record(account, sock, &connection, end as u32)) };
        });
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn connections(ctx: *mut Files) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_connections(ctx) };
    0
}

#[inline(always)]
unsafe fn try_connections(ctx: *mut Files) -> Option<()> {
    // SAFETY: the caller's.
    let (At::Account(account, sock), _) = (unsafe { Files::at(ctx) })? else {
        return None;
    };
    // SAFETY: a value of the socket storage.
    if unsafe { is_closed(account) } {
        return None;
    }
    let connection = Connection::of(&sock, false)?;
    // SAFETY: as above.
    let mut record = unsafe { record(account, &sock, &connection, OPEN) };
    // SAFETY: of this call's context.
    unsafe { write((*ctx).meta, &mut record) };
    Some(())
}

/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
unsafe fn record(
    account: *const Account,
    sock: &TcpSock,
    connection: &Connection,
    end: u32,
) -> Record {
    // SAFETY: the caller's.
    let account = unsafe { &*account };
    let [transmit, receive, retransmit] = account.base;
    Record {
        connection: agent_ebpf::Connection {
            address: connection.remote,
            remote_port: connection.remote_port,
            local_port: sock.source_port(),
            slot: account.slot,
        },
        local: connection.local,
        began: account.began,
        // SAFETY: it has no conditions.
        ended: unsafe { bpf_ktime_get_ns() },
        transmit: (account.transmit & !CLOSED).wrapping_sub(transmit),
        receive: (account.receive & !CLOSED).wrapping_sub(receive),
        retransmit: (account.retransmit & !CLOSED).wrapping_sub(retransmit),
        smoothed: sock.smoothed_rtt(),
        role: if account.initiator != 0 {
            Role::Initiator
        } else {
            Role::Acceptor
        } as u32,
        end,
        adopted: account.adopted,
    }
}
