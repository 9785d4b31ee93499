//! What outlives the agent, as the next one must find it: which maps are pinned, and the version of their layout.

use core::mem::offset_of;

use super::{
    Account, Begun, Caller, Connection, Control, Counters, Drop, Histogram, Listener, Opener,
    Record, Shown, Stranger, Totals, map,
};

/// The maps that hold what was counted and what is going on. The tables of the configuration are not among them:
/// each load of the programs has its own.
pub const MAPS: [&str; 11] = [
    map::COUNTERS,
    map::CONTROL,
    map::SOCKETS,
    map::HISTOGRAMS,
    map::AUTO_PARTIES,
    map::PROCESSES,
    map::BEGUN,
    map::STRANGERS,
    map::COUNTED,
    map::LISTENERS,
    map::OPENERS,
];

/// Pinned as well where a protocol is on UDP.
pub const UDP_MAPS: [&str; 1] = [map::CALLERS];

/// Pinned as well where connections are recorded.
pub const RECORD_MAPS: [&str; 1] = [map::RECORDS];

/// To be counted up where what a value *means* changes, and no size or place does.
const MEANING: u64 = 2;

/// Another number for every other layout of what is pinned.
pub const VERSION: u64 = {
    let facts = [
        MEANING,
        size_of::<Counters>() as u64,
        offset_of!(Counters, walk) as u64,
        offset_of!(Counters, smoothed) as u64,
        offset_of!(Counters, open) as u64,
        offset_of!(Counters, measured) as u64,
        offset_of!(Counters, latency) as u64,
        offset_of!(Counters, waiting) as u64,
        offset_of!(Counters, sent) as u64,
        offset_of!(Counters, shown) as u64,
        size_of::<Totals>() as u64,
        offset_of!(Totals, transmit) as u64,
        offset_of!(Totals, receive) as u64,
        offset_of!(Totals, retransmit) as u64,
        offset_of!(Totals, segments) as u64,
        offset_of!(Totals, opened) as u64,
        offset_of!(Totals, closed) as u64,
        offset_of!(Totals, failures) as u64,
        offset_of!(Totals, messages) as u64,
        offset_of!(Totals, rounds) as u64,
        offset_of!(Totals, waited) as u64,
        size_of::<Shown>() as u64,
        size_of::<Control>() as u64,
        offset_of!(Control, auto_parties) as u64,
        offset_of!(Control, histograms) as u64,
        offset_of!(Control, histogram_limit) as u64,
        offset_of!(Control, turn) as u64,
        offset_of!(Control, walk) as u64,
        offset_of!(Control, clock) as u64,
        offset_of!(Control, settled) as u64,
        offset_of!(Control, untold) as u64,
        Drop::ALL.len() as u64,
        size_of::<Account>() as u64,
        offset_of!(Account, sequence_base) as u64,
        offset_of!(Account, transmit) as u64,
        offset_of!(Account, receive) as u64,
        offset_of!(Account, retransmit) as u64,
        offset_of!(Account, received) as u64,
        offset_of!(Account, segments) as u64,
        offset_of!(Account, opened) as u64,
        offset_of!(Account, sampled) as u64,
        offset_of!(Account, initiator) as u64,
        offset_of!(Account, walk) as u64,
        offset_of!(Account, sent) as u64,
        offset_of!(Account, began) as u64,
        offset_of!(Account, base) as u64,
        offset_of!(Account, adopted) as u64,
        offset_of!(Account, told) as u64,
        size_of::<Begun>() as u64,
        size_of::<Listener>() as u64,
        size_of::<Opener>() as u64,
        size_of::<Record>() as u64,
        size_of::<Histogram>() as u64,
        offset_of!(Histogram, buckets) as u64,
        size_of::<Stranger>() as u64,
        size_of::<Connection>() as u64,
        size_of::<Caller>() as u64,
    ];
    // FNV-1a, a number at a time.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < facts.len() {
        hash = (hash ^ facts[at]).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
};
