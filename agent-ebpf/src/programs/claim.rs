//! claim: an account for an MPC connection, at its establishment.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;

use super::{
    account,
    classify::Connection,
    maps::open_account,
    socket::{TcpSock, tcp_state},
};

/// `last_state` tells who opened it: `SYN_SENT`, or `SYN_RECV` of a listener's child (or of both ends at once,
/// where "accepted" is as good a word as any).
#[inline(always)]
pub(super) fn claim(ctx: &BtfTracePointContext, sock: &TcpSock, last_state: u8) -> Option<()> {
    let initiator = last_state == tcp_state::SYN_SENT;
    let connection = Connection::of(sock, initiator)?;
    let slot = connection.slot()?;
    let mut opened = account::opened(slot, sock);
    opened.initiator = u32::from(initiator);
    // SAFETY: the tracepoint's socket. It has none yet, but where `set_state_again` follows for nothing.
    unsafe { open_account(sock.as_ptr(), &mut opened) }?;
    report(ctx, slot, connection.local_port, connection.remote_port);
    Some(())
}

/// A function of its own, so that what is off by default takes no registers and no stack from the claim.
#[inline(never)]
fn report(ctx: &BtfTracePointContext, slot: u32, local_port: u16, remote_port: u16) {
    debug!(
        ctx,
        "claimed: slot {}, local port {}, remote port {}", slot, local_port, remote_port
    );
}
