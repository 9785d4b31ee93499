//! A slot's counters: its histograms, which are given out with the first time, and what a walk finds of it.

use agent_ebpf::{Account, Counters, DropReason, latency};

use crate::programs::{
    atomic::{MapValue, Word, word},
    control::{RTT_CALLBACK, control, count_drop, takes_latency},
    maps::{COUNTERS, HISTOGRAMS},
    socket::TcpSock,
};

/// The counters of a slot.
#[inline(always)]
pub(super) fn counters(slot: u32) -> Option<MapValue<Counters>> {
    // SAFETY: the map's element.
    unsafe { MapValue::new(COUNTERS.get_ptr_mut(slot)?) }
}

/// Adds a time, in microseconds, to the histogram whose number is `number`, a word of a slot.
#[inline(always)]
pub(super) fn observe(number: Word<u32>, time: u32) {
    let Some(number) = histogram(number) else {
        count_drop(DropReason::Histograms);
        return;
    };
    let Some(histogram) = HISTOGRAMS.get_ptr_mut(number) else {
        return;
    };
    // LLVM knows that it is in range and would drop the check; the verifier does not, and needs it.
    let bucket = core::hint::black_box(latency::bucket(time));
    if bucket >= latency::BUCKETS as u32 {
        return;
    }
    // SAFETY: the map's element, and an index below the length.
    unsafe {
        Word::new(&raw mut (*histogram).sum).add(u64::from(time));
        let buckets = (&raw mut (*histogram).buckets).cast::<u64>();
        Word::new(buckets.add(bucket as usize)).add(1);
    }
}

/// The number of a histogram, or a new one. Two first times at one moment may each take a number: the later one stays,
/// and the time that went to the other is lost.
#[inline(always)]
fn histogram(number: Word<u32>) -> Option<u32> {
    let known = number.get();
    if known != 0 {
        return Some(known);
    }
    let control = control()?;
    let limit = word!(control, histogram_limit).get();
    let new = word!(control, histograms).take_number(limit)? + 1;
    number.set(new);
    Some(new)
}

/// Takes a round-trip time that the kernel has just measured on a claimed socket, in microseconds.
#[inline(always)]
pub(super) fn observe_rtt(account: MapValue<Account>, time: u32) {
    if let Some(slot) = counters(word!(account, slot).get()) {
        observe(word!(slot, latency), time);
    }
}

/// At a settle: takes the newest round-trip time of a socket whose callback is not armed, if it is not the one that the
/// last settle took (`sampled`). Only one walk runs at a time.
#[inline(always)]
pub(super) fn sample_rtt(
    account: MapValue<Account>,
    sampled: u32,
    slot: MapValue<Counters>,
    sock: &TcpSock,
) {
    if !takes_latency() || sock.callback_flags() & RTT_CALLBACK != 0 {
        return;
    }
    let sent = sock.newest_rtt_sent() as u32;
    if sent != sampled {
        word!(account, sampled).set(sent);
        observe(word!(slot, latency), sock.newest_rtt());
    }
}

/// Adds an open connection to what this walk finds of its slot. Only one walk runs at a time.
#[inline(always)]
pub(super) fn count_open(slot: MapValue<Counters>, sock: &TcpSock, walk: u64) {
    let smoothed = sock.smoothed_rtt();
    let slot = slot.as_ptr();
    // SAFETY: a map's value, of which only the walk writes these fields.
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
