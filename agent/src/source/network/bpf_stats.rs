//! What the kernel side says about itself: what it drops, and how full its maps are.

use agent_ebpf::{Control, DropReason, ENDPOINT_CAPACITY, PREFIX_CAPACITY, program};

use super::{sys::ProgramStatistics, tables::Tables};
use crate::sample::MapFill;

/// The programs that count messages.
const MESSAGE_PROGRAMS: [&str; 4] = [
    program::SENT,
    program::RECEIVED,
    program::SENT_AT_EXIT,
    program::RECEIVED_AT_EXIT,
];

/// The drops that the programs count, and the misses that the kernel counts. A change of state goes unseen only if both
/// programs that watch for it miss it, so the smaller number is the upper bound. Each message has one program, so those
/// misses add up.
pub(super) fn dropped(
    control: &Control,
    statistics: &[(&'static str, ProgramStatistics)],
) -> Vec<(&'static str, u64)> {
    let misses = statistics
        .iter()
        .filter(|(name, _)| [program::SET_STATE, program::SET_STATE_AGAIN].contains(name))
        .map(|(_, statistics)| statistics.misses)
        .min();
    let message_misses = statistics
        .iter()
        .filter(|(name, _)| MESSAGE_PROGRAMS.contains(name))
        .map(|(_, statistics)| statistics.misses);
    DropReason::ALL
        .map(|drop| (drop.name(), control.dropped[drop as usize]))
        .into_iter()
        .chain([
            ("recursion", misses.unwrap_or(0)),
            ("messages_recursion", message_misses.sum()),
        ])
        .collect()
}

/// Automatic parties that have been assigned.
pub(super) fn taken(control: &Control, tables: &Tables) -> u32 {
    let most = (tables.slots / tables.stride).saturating_sub(2);
    control
        .auto_parties
        .min(most)
        .saturating_sub(tables.first_auto)
}

pub(super) fn map_fill(control: &Control, tables: &Tables, open: u64) -> Vec<MapFill> {
    let table = |map, entries: usize, capacity: u32| MapFill {
        map,
        entries: entries as u64,
        capacity: Some(u64::from(capacity)),
    };
    let room = tables.auto_limit.saturating_sub(tables.first_auto);
    let automatic = taken(control, tables).min(room);
    vec![
        table("prefixes", tables.prefixes.len(), PREFIX_CAPACITY),
        table("endpoints", tables.endpoints.len(), ENDPOINT_CAPACITY),
        table("auto_parties", automatic as usize, room),
        table(
            "histograms",
            control.histograms.min(control.histogram_limit) as usize,
            control.histogram_limit,
        ),
        MapFill {
            map: "sockets",
            entries: open,
            capacity: None,
        },
    ]
}
