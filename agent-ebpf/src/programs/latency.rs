//! Round-trip times into the histogram of a slot: from the kernel's callback where it is armed (`socket_events`), at
//! each settle for the sockets where it is not.

use agent_ebpf::{Account, Counters, Drop, latency};

use super::{
    account::add,
    maps::{CONTROL, COUNTERS, HISTOGRAMS, count_drop, take_number},
    socket::{TcpSock, wants_latency},
};

/// `BPF_SOCK_OPS_RTT_CB_FLAG`, 5.3.
pub(super) const ARMED: u8 = 1 << 3;

/// Takes a time that the kernel has just measured on a claimed socket. `measured` is 0 before 6.10, where the
/// callback says only that there is one.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn take(account: *mut Account, measured: u32, sock: &TcpSock) {
    let time = if measured == 0 {
        sock.newest_rtt()
    } else {
        measured
    };
    // SAFETY: the caller's.
    if let Some(slot) = COUNTERS.get_ptr_mut(unsafe { (*account).slot }) {
        // SAFETY: a map value, valid for the length of the program.
        unsafe { observe(slot, time) };
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
            observe(slot, sock.newest_rtt());
        }
    }
}

/// # Safety
/// `slot` must be a map value.
#[inline(always)]
unsafe fn observe(slot: *mut Counters, time: u32) {
    // SAFETY: the caller's.
    let Some(histogram) = (unsafe { histogram_of(slot) }) else {
        count_drop(Drop::Histograms);
        return;
    };
    let Some(histogram) = HISTOGRAMS.get_ptr_mut(histogram) else {
        return;
    };
    // What LLVM knows about it, the verifier does not: let both look.
    let bucket = core::hint::black_box(latency::bucket(time));
    if bucket >= latency::BUCKETS as u32 {
        return;
    }
    // SAFETY: the map's element, valid for the length of the program, and an index below the length.
    unsafe {
        add(&raw mut (*histogram).sum, u64::from(time));
        let buckets = (&raw mut (*histogram).buckets).cast::<u64>();
        add(buckets.add(bucket as usize), 1);
    }
}

/// The slot's histogram, which it gets with its first sample. Two first ones at the same time may take two, of which
/// the later stays, and with it all but one sample.
///
/// # Safety
/// `slot` must be a map value.
#[inline(always)]
unsafe fn histogram_of(slot: *mut Counters) -> Option<u32> {
    // SAFETY: the caller's.
    let known = unsafe { (&raw const (*slot).histogram).read_volatile() };
    if known != 0 {
        return Some(known);
    }
    let control = CONTROL.get_ptr_mut(0)?;
    // SAFETY: the array's element, valid for the length of the program.
    unsafe {
        let place = &raw mut (*control).histograms;
        let number = take_number(place, (*control).histogram_limit)? + 1;
        (&raw mut (*slot).histogram).write_volatile(number);
        Some(number)
    }
}
