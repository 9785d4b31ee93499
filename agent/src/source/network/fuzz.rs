//! What `tests/fuzz` reaches of the decoding of what the kernel side writes; not compiled otherwise.

use std::time::{Duration, SystemTime};

use agent_ebpf::{Counters, Histogram, SocketOwner, UnexpectedPeer};

use super::{
    clock::Clock,
    decode::{Published, in_classes},
    holders::{self, Holders},
    layout::Layout,
    records::Reader,
    tables::Names,
};
use crate::{
    config::Config,
    sample::{ConnectionRecord, Sessions, Times, Traffic},
};

/// Everything that decodes, with the names of a configuration.
#[derive(Debug)]
pub struct Decoder {
    names: Names,
    clock: Clock,
    holders: Holders,
    published: Published,
}

impl Decoder {
    /// With the names of a configuration, and a kernel whose clock was 0 at `boot`.
    pub fn new(config: &Config, boot: SystemTime) -> Self {
        let mut clock = Clock::default();
        clock.see(boot, Duration::ZERO, boot);
        Self {
            names: Names::new(config, &Layout::new(config), config.wants_udp()),
            clock,
            holders: Holders::default(),
            published: Published::default(),
        }
    }

    /// A connection that has ended.
    pub fn ended(&self, bytes: &[u8]) -> Option<ConnectionRecord> {
        Reader::new(&self.names, self.clock).read(bytes)
    }

    /// Connections that are open.
    pub fn open(&self, bytes: &[u8]) -> Vec<ConnectionRecord> {
        Reader::new(&self.names, self.clock).read_all(bytes)
    }

    /// The processes that hold connections, one by one and by protocol.
    pub fn holders(&mut self, bytes: &[u8]) -> (&[SocketOwner], Vec<Sessions>) {
        self.holders.looked(bytes, 0, std::time::Instant::now());
        (&self.holders.found, self.holders.sessions(&self.names))
    }

    /// A round of counters.
    pub fn traffic(
        &mut self,
        walk_and_clock: (u64, u64),
        counters: impl Fn(u32) -> Option<Counters>,
    ) -> Vec<Traffic> {
        self.published
            .next(&self.names, walk_and_clock, counters, |_, _| (), |_| None)
    }
}

/// An address that is no party's.
pub fn stranger(bytes: &[u8]) -> Option<UnexpectedPeer> {
    holders::stranger(bytes)
}

/// A histogram, as the page has it.
pub fn times(histogram: &Histogram, fine: bool) -> Times {
    in_classes(histogram, fine)
}
