//! Round-trip times into the histogram of a slot: from the kernel's callback where it is armed (`socket_events`), at
//! each settle for the sockets where it is not.

use agent_ebpf::{Account, Counters};

use super::{
    histogram::observe,
    maps::COUNTERS,
    socket::{TcpSock, wants_latency},
};

/// `BPF_SOCK_OPS_RTT_CB_FLAG`, 5.3.
pub(super) const ARMED: u8 = 1 << 3;

/// Takes a time that the kernel has just measured on a claimed socket, in microseconds.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn take(account: *mut Account, time: u32) {
    // SAFETY: the caller's.
    if let Some(slot) = COUNTERS.get_ptr_mut(unsafe { (*account).slot }) {
        // SAFETY: a map value, valid for the length of the program.
        unsafe { observe(&raw mut (*slot).latency, time) };
    }
}

/// At a settle: takes the newest time of a socket that is not armed, if it is another than at the last one.
///
/// # Safety
/// `account` and `slot` must be map values, and nobody else write `sampled`.
#[inline(always)]
pub(super) unsafe fn sample_unarmed(
    account: *mut Account,
    sampled: u32,
    slot: *mut Counters,
    sock: &TcpSock,
) {
    if !wants_latency() || sock.callback_flags() & ARMED != 0 {
        return;
    }
    let sent = sock.newest_rtt_sent() as u32;
    if sent != sampled {
        // SAFETY: the caller's.
        unsafe {
            (&raw mut (*account).sampled).write_volatile(sent);
            observe(&raw mut (*slot).latency, sock.newest_rtt());
        }
    }
}
