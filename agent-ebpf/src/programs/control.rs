//! What the programs do and when: settings, the handover from one load to the next, what `sock_ops` sees and which of
//! its callbacks are armed, drops, the clock.

use agent_ebpf::{
    Control, DropReason, Settings, endpoints, events,
    handover::{self, Phase},
};
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use crate::programs::{
    atomic::{MapValue, Word, word},
    maps::{CONTROL, COUNTED},
};

/// `BPF_SOCK_OPS_STATE_CB_FLAG`, 4.16: changes of state.
pub(super) const STATE_CALLBACK: u8 = 1 << 2;
/// `BPF_SOCK_OPS_RTT_CB_FLAG`, 5.3: round-trip times.
pub(super) const RTT_CALLBACK: u8 = 1 << 3;

/// Filled in by the loader before the verifier sees the object.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    latency: 0,
    watch_end: 0,
    receive_parameters: 0,
    records: 0,
    generation: 0,
};

macro_rules! setting {
    ($name:ident) => {
        // SAFETY: a read-only global; volatile, because it is written before the program is loaded.
        unsafe { core::ptr::read_volatile(&raw const SETTINGS.$name) }
    };
}

/// Whether round-trip times are taken.
#[inline(always)]
pub(super) fn takes_latency() -> bool {
    setting!(latency) != 0
}

/// How many parameters `tcp_recvmsg` has.
#[inline(always)]
pub(super) fn receive_parameters() -> u32 {
    setting!(receive_parameters)
}

/// Whether connections are recorded.
#[inline(always)]
pub(super) fn records_connections() -> bool {
    setting!(records) != 0
}

/// The callback of round-trip times, if they are taken.
#[inline(always)]
pub(super) fn latency_callback() -> u8 {
    if takes_latency() { RTT_CALLBACK } else { 0 }
}

/// Which sockets `socket_events` sees, of [`events`].
#[inline(always)]
pub(super) fn events_seen() -> u32 {
    CONTROL
        .get(0)
        .map_or(events::NOT_ALL, |control| control.events)
}

/// Whether it sees every socket, or will in a moment.
#[inline(always)]
pub(super) fn sees_all_events() -> bool {
    events_seen() != events::NOT_ALL
}

/// Whether `socket_events` settles at the end of connections.
#[inline(always)]
pub(super) fn settles_by_events() -> bool {
    sees_all_events() || setting!(watch_end) != 0
}

/// Whether any parties share an address. Asked first, for in most configurations none do.
#[inline(always)]
pub(super) fn any_shared_address() -> bool {
    CONTROL
        .get(0)
        .is_some_and(|control| control.endpoints == endpoints::SHARED)
}

/// Whether a slot counts unexpected peers: the first block is `block::UNKNOWN`.
#[inline(always)]
pub(super) fn is_unknown(slot: u32) -> bool {
    CONTROL.get(0).is_some_and(|control| slot < control.stride)
}

/// The one value of `CONTROL`, to be changed.
#[inline(always)]
pub(super) fn control() -> Option<MapValue<Control>> {
    // SAFETY: the map's element.
    unsafe { MapValue::new(CONTROL.get_ptr_mut(0)?) }
}

/// Whether this load of the programs counts the event that this CPU is at. Asked where doing a thing twice is not the
/// same as doing it once; to claim, to settle and to close is.
#[inline(always)]
pub(super) fn counts() -> bool {
    let Some(control) = control() else {
        return false;
    };
    let now = word!(control, handover).get();
    let mine = handover::generation(now) == setting!(generation);
    if handover::is(now, Phase::Single) {
        return mine;
    }
    let Some(counted) = COUNTED.get_ptr_mut(0) else {
        return mine;
    };
    // SAFETY: this CPU's element of the map.
    let counted = unsafe { Word::new(counted) };
    if handover::is(now, Phase::Announce) {
        counted.set(u64::from(mine));
        return mine;
    }
    let before = counted.get();
    counted.set(0);
    mine && before == 0
}

/// Counts what could not be done.
#[inline(always)]
pub(super) fn count_drop(reason: DropReason) {
    if let Some(control) = control() {
        word!(control, dropped[reason as usize]).add(1);
    }
}

/// The kernel's monotonic clock, in nanoseconds.
#[inline(always)]
pub(super) fn now() -> u64 {
    // SAFETY: the helper has no conditions.
    unsafe { bpf_ktime_get_ns() }
}
