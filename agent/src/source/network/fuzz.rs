//! The decoding of the kernel side's records, as `tests/fuzz` reaches it; compiled for nothing else.

use std::time::{Duration, Instant, SystemTime};

use agent_ebpf::{Counters, Histogram, SocketOwner, UnexpectedPeer};

use super::{
    clock::Clock,
    decode::{Published, Settle, SlotReading, to_page_buckets},
    kernel_record,
    layout::Layout,
    records::RecordReader,
    slot_names::SlotNames,
    socket_owners::SocketOwners,
};
use crate::{
    config::Config,
    sample::{ConnectionRecord, Sessions, Times, Traffic},
};

/// Everything that decodes, with the names of a configuration.
#[derive(Debug)]
pub struct Decoder {
    names: SlotNames,
    clock: Clock,
    socket_owners: SocketOwners,
    published: Published,
}

impl Decoder {
    /// With the names of a configuration, and a kernel whose clock was 0 at `boot`.
    pub fn new(config: &Config, boot: SystemTime) -> Self {
        let mut clock = Clock::default();
        clock.observe(boot, Duration::ZERO, boot);
        Self {
            names: SlotNames::new(config, &Layout::new(config), config.wants_udp()),
            clock,
            socket_owners: SocketOwners::default(),
            published: Published::default(),
        }
    }

    /// A connection that has ended.
    pub fn ended(&self, bytes: &[u8]) -> Option<ConnectionRecord> {
        RecordReader::new(&self.names, self.clock).read(bytes)
    }

    /// Connections that are open.
    pub fn open(&self, bytes: &[u8]) -> Vec<ConnectionRecord> {
        RecordReader::new(&self.names, self.clock).read_all(bytes)
    }

    /// The processes that hold connections, one by one and by protocol.
    pub fn socket_owners(&mut self, bytes: &[u8]) -> (&[SocketOwner], Vec<Sessions>) {
        self.socket_owners.update(bytes, 0, Instant::now());
        let sessions = self.socket_owners.sessions(&self.names);
        (&self.socket_owners.found, sessions)
    }

    /// A round of counters.
    pub fn traffic(
        &mut self,
        walk_and_clock: (u64, u64),
        counters: impl Fn(u32) -> Option<Counters>,
    ) -> Vec<Traffic> {
        let settle = Settle {
            walk: walk_and_clock.0,
            clock: walk_and_clock.1,
        };
        let mut traffic = Vec::new();
        for (slot, labels) in &self.names.slots {
            let Some(counters) = counters(*slot) else {
                continue;
            };
            let reading = SlotReading {
                counters,
                ..SlotReading::default()
            };
            let next = self
                .published
                .next(&self.names, (*slot, labels), reading, settle);
            traffic.extend(next.map(|(traffic, _)| traffic));
        }
        traffic
    }
}

/// A connection with an unconfigured address.
pub fn unexpected_peer(bytes: &[u8]) -> Option<UnexpectedPeer> {
    kernel_record::read(bytes)
}

/// A histogram, as the page has it.
pub fn times(histogram: &Histogram, exponential: bool) -> Times {
    to_page_buckets(histogram, exponential)
}
