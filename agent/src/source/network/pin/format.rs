//! The pinned files that the next agent resumes from.
//!
//! A map is pinned as `map-NAME`, a link as `link-GENERATION-PROGRAM`. `state` describes the maps and is written once
//! they are ready; without it they are not. `names` holds the number of every party and protocol and only grows. Every
//! step leaves something that the next start can resume from: new links stand beside the old ones until
//! `PinDirectory::remove_links`, and only one generation counts.

use agent_ebpf::pinned;

use crate::source::network::error::{BpfError, kernel_error};

/// The value of `state`: [`pinned::VERSION`], the layout's dimensions, and the start of counting in seconds and
/// nanoseconds since 1970.
pub(super) type State = [u64; 6];
/// Kind and number.
pub(super) type NameKey = [u32; 2];
/// UTF-8, padded with zeroes: names have up to 128 bytes and no control characters.
pub(super) type Name = [u8; 128];

pub(super) const STATE: &str = "state";
pub(super) const NAMES: &str = "names";
pub(super) const TRIAL: &str = "trial";

/// The maps that are pinned.
pub(crate) fn maps(udp: bool, records: bool) -> Vec<&'static str> {
    let of_udp = pinned::UDP_MAPS.iter().filter(|_| udp);
    let of_records = pinned::RECORD_MAPS.iter().filter(|_| records);
    let all = pinned::MAPS.iter().chain(of_udp).chain(of_records);
    all.copied().collect()
}

pub(super) fn write_error(error: &(dyn std::error::Error + 'static)) -> BpfError {
    kernel_error("pin the counters", error)
}
