//! A slot's histograms: given out with the first time, filled with atomic adds.

use agent_ebpf::{Drop, latency};

use super::{
    account::add,
    maps::{CONTROL, HISTOGRAMS, count_drop, take_number},
};

/// Adds a time, in microseconds, to the histogram whose number is in `place`.
///
/// # Safety
/// `place` must lie in a slot, and be valid for the length of the program.
#[inline(always)]
pub(super) unsafe fn observe(place: *mut u32, time: u32) {
    // SAFETY: the caller's.
    let Some(number) = (unsafe { number_in(place) }) else {
        count_drop(Drop::Histograms);
        return;
    };
    let Some(histogram) = HISTOGRAMS.get_ptr_mut(number) else {
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

/// The number in `place`, or a new one. Two first times at one moment may each take a number, of which the later
/// stays, without the one time that went to the other.
///
/// # Safety
/// As for `observe`.
#[inline(always)]
unsafe fn number_in(place: *mut u32) -> Option<u32> {
    // SAFETY: the caller's.
    let known = unsafe { place.read_volatile() };
    if known != 0 {
        return Some(known);
    }
    let control = CONTROL.get_ptr_mut(0)?;
    // SAFETY: the array's element, valid for the length of the program; and the caller's.
    unsafe {
        let taken = &raw mut (*control).histograms;
        let number = take_number(taken, (*control).histogram_limit)? + 1;
        place.write_volatile(number);
        Some(number)
    }
}
