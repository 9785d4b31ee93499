//! claim: an account for an MPC connection, at its establishment.

use core::{mem::MaybeUninit, ptr::NonNull};

use agent_ebpf::{Account, Role, Stranger};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;

use super::{
    account,
    classify::{Connection, is_shared, is_unknown},
    maps::{begun_by, open_account, report_stranger},
    openers,
    socket::TcpSock,
};

/// `initiator`: this side opened it (where both did at once, "accepted" is as good a word as any). May be called
/// again for the same socket.
#[inline(always)]
pub(super) fn claim<C: EbpfContext>(
    ctx: &C,
    sock: &TcpSock,
    initiator: bool,
) -> Option<NonNull<Account>> {
    let connection = Connection::of(sock, initiator)?;
    let (slot, process) = match connection.slot() {
        Some(slot) => {
            if initiator && is_shared(connection.local) {
                // SAFETY: the hook's socket.
                if let Some(begun) = unsafe { begun_by(sock.as_ptr()) } {
                    openers::publish(&connection, begun.process);
                }
            }
            (slot, 0)
        }
        None if initiator => {
            // SAFETY: the hook's socket.
            let begun = unsafe { begun_by(sock.as_ptr()) }?;
            if begun.strange == 0 {
                return None;
            }
            (connection.strange_slot(), begun.process)
        }
        None => return None,
    };
    let mut place = MaybeUninit::uninit();
    let opened = account::opened(&mut place, slot, sock);
    opened.initiator = u32::from(initiator);
    // SAFETY: the hook's socket.
    let account = unsafe { open_account(sock.as_ptr(), opened) }?;
    let role = if initiator {
        Role::Initiator
    } else {
        Role::Acceptor
    };
    // SAFETY: a value of the socket storage.
    if unsafe { account::count_opened(account.as_ptr(), slot, role) } {
        if is_unknown(slot) {
            report_stranger(&Stranger {
                connection: agent_ebpf::Connection {
                    address: connection.remote,
                    remote_port: connection.remote_port,
                    local_port: connection.local_port,
                    slot,
                },
                role: role as u32,
                process,
            });
        }
        report(ctx, slot, connection.local_port, connection.remote_port);
    }
    Some(account)
}

/// A function of its own, so that what is off by default takes no registers and no stack from the claim.
#[inline(never)]
fn report<C: EbpfContext>(ctx: &C, slot: u32, local_port: u16, remote_port: u16) {
    debug!(
        ctx,
        "claimed: slot {}, local port {}, remote port {}", slot, local_port, remote_port
    );
}
