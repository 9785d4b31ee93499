//! How much memory the kernel side's maps take.

use agent_ebpf::{Counters, Histogram, RECORD_BYTES};

use super::layout::Layout;
use crate::config::Config;

/// Memory of a configuration's maps, beside the agent's own. Unit: bytes.
pub fn map_bytes(config: &Config) -> u64 {
    let layout = Layout::new(config);
    let slot = size_of::<Counters>() as u64;
    let histograms = u64::from(layout.histograms()) * size_of::<Histogram>() as u64;
    let records = u64::from(config.wants_records()) * u64::from(RECORD_BYTES);
    u64::from(layout.slots()) * slot + histograms + records
}
