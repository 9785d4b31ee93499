//! Which processes hold MPC connections: when to look, what the kernel side writes about them, and how many each
//! protocol has.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use agent_ebpf::{Connection, SocketOwner, UnexpectedPeer, protocol};

use super::tables::Names;
use crate::sample::Sessions;

/// A look goes through every open file of the machine: it may take one part in so many of the time.
const SHARE: u32 = 200;
/// How long a process may have inherited or handed on a connection before that shows.
const AT_LEAST: Duration = Duration::from_secs(10);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// What was found.
    pub(super) found: Vec<SocketOwner>,
    last: Option<Look>,
}

#[derive(Debug)]
struct Look {
    ended: Instant,
    took: Duration,
    changes: u64,
}

impl Holders {
    /// Whether to look again. `changes` is another number whenever connections have come or gone.
    pub(super) fn is_due(&self, changes: u64, urgent: bool, now: Instant) -> bool {
        let Some(Look {
            ended,
            took,
            changes: before,
        }) = &self.last
        else {
            return true;
        };
        let since = now.saturating_duration_since(*ended);
        let wanted = changes != *before || urgent || since >= AT_LEAST;
        wanted && since >= *took * SHARE
    }

    /// Takes in a look.
    pub(super) fn looked(&mut self, written: &[u8], changes: u64, began: Instant) {
        let ended = Instant::now();
        self.last = Some(Look {
            ended,
            took: ended.saturating_duration_since(began),
            changes,
        });
        self.found = written
            .chunks_exact(size_of::<SocketOwner>())
            .filter_map(holder)
            .collect();
    }

    /// Which processes have come since they were `watched`, and which have gone.
    pub(super) fn news(&self, watched: &mut BTreeSet<u32>, wanted: bool) -> (Vec<u32>, Vec<u32>) {
        let all = self.found.iter().filter(|_| wanted);
        let now: BTreeSet<u32> = all.map(|holder| holder.process).collect();
        let news = (
            now.difference(watched).copied().collect(),
            watched.difference(&now).copied().collect(),
        );
        *watched = now;
        news
    }

    /// Processes by protocol.
    pub(super) fn sessions(&self, names: &Names) -> Vec<Sessions> {
        let all = names.protocols().iter().map(|(number, name)| {
            let here = |holder: &&SocketOwner| names.protocol_of(holder.connection.slot) == *number;
            let holders = self.found.iter().filter(here);
            let processes: BTreeSet<u32> = holders.map(|holder| holder.process).collect();
            (*number, name, processes.len() as u64)
        });
        // What is on no protocol's port is shown where there is any.
        all.filter(|(number, _, _)| names.has_connections(*number))
            .filter(|(number, _, processes)| *number != protocol::OTHER || *processes > 0)
            .map(|(_, name, processes)| Sessions {
                protocol: Arc::clone(name),
                processes,
            })
            .collect()
    }
}

fn holder(bytes: &[u8]) -> Option<SocketOwner> {
    Some(SocketOwner {
        process: word(bytes, 0)?,
        padding: 0,
        connection: connection(bytes.get(8..)?)?,
    })
}

/// A stranger as the kernel side writes it.
pub(super) fn stranger(bytes: &[u8]) -> Option<UnexpectedPeer> {
    Some(UnexpectedPeer {
        connection: connection(bytes)?,
        role: word(bytes, 24)?,
        process: word(bytes, 28)?,
    })
}

pub(super) fn connection(bytes: &[u8]) -> Option<Connection> {
    let half = |at: usize| {
        let two = bytes.get(at..at + 2)?;
        Some(u16::from_ne_bytes(two.try_into().ok()?))
    };
    Some(Connection {
        address: [
            word(bytes, 0)?,
            word(bytes, 4)?,
            word(bytes, 8)?,
            word(bytes, 12)?,
        ],
        remote_port: half(16)?,
        local_port: half(18)?,
        slot: word(bytes, 20)?,
    })
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

pub(super) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(eight.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::source::network::layout::Layout;

    /// As the kernel side writes it.
    pub(in super::super) fn written(process: u32, slot: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [
            process,
            0,
            0,
            0,
            u32::to_be(0xffff),
            u32::to_be(0x0a00_0002),
        ] {
            bytes.extend(word.to_ne_bytes());
        }
        for port in [40_000_u16, 7000] {
            bytes.extend(port.to_ne_bytes());
        }
        bytes.extend(slot.to_ne_bytes());
        assert_eq!(bytes.len(), size_of::<SocketOwner>());
        bytes
    }

    #[test]
    fn a_process_counts_once_for_each_protocol() {
        let config = crate::config::tests::minimal();
        let layout = Layout::new(&config);
        let names = Names::new(&config, &layout, true);
        let mut holders = Holders::default();
        let counted = |holders: &Holders| {
            let sessions = holders.sessions(&names);
            let pairs = sessions
                .iter()
                .map(|it| (it.protocol.to_string(), it.processes));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(counted(&holders), [("test".to_owned(), 0)]);
        let block = agent_ebpf::block::first(layout.stride);
        let next = block + layout.stride;
        let all = [
            (1, block + 1),
            (1, block + 1),
            (1, next + 1),
            (2, block + 1),
            (3, block),
        ];
        let all = all.map(|(process, slot)| written(process, slot)).concat();
        holders.looked(&all, 0, Instant::now());
        let expected = [("other".to_owned(), 1), ("test".to_owned(), 2)];
        assert_eq!(counted(&holders), expected);
    }

    #[test]
    fn looks_when_something_has_changed_and_now_and_then_but_not_all_the_time() {
        let mut holders = Holders::default();
        let now = Instant::now();
        assert!(holders.is_due(0, false, now));
        holders.looked(&[], 5, now);
        let Some(look) = &mut holders.last else {
            panic!("no look")
        };
        (look.ended, look.took) = (now, Duration::from_millis(10));
        let due = |changes, urgent, seconds| {
            holders.is_due(changes, urgent, now + Duration::from_secs(seconds))
        };
        assert!(!due(5, false, 3) && due(6, false, 3) && due(5, true, 3));
        assert!(due(5, false, 10));
        assert!(!due(6, true, 1), "it took 10 ms");
    }
}
