//! Which processes hold MPC connections: when to scan, what the scan finds, and sessions by protocol.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use agent_ebpf::{SocketOwner, protocol};

use super::{kernel_record::read_all, slot_names::SlotNames};
use crate::sample::Sessions;

/// A scan visits every open file of the machine. It may take 1/200 of the time.
const MAX_SHARE: u32 = 200;
/// Processes inherit and pass on connections unseen; a scan after this time shows it.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The result of the last scan.
#[derive(Debug, Default)]
pub(super) struct SocketOwners {
    pub(super) found: Vec<SocketOwner>,
    last: Option<Scan>,
}

#[derive(Debug)]
struct Scan {
    ended: Instant,
    took: Duration,
    changes: u64,
}

impl SocketOwners {
    /// Whether to scan. `changes` differs whenever connections have opened or closed.
    pub(super) fn is_due(&self, changes: u64, urgent: bool, now: Instant) -> bool {
        let Some(Scan {
            ended,
            took,
            changes: before,
        }) = &self.last
        else {
            return true;
        };
        let since = now.saturating_duration_since(*ended);
        let wanted = changes != *before || urgent || since >= MAX_AGE;
        wanted && since >= *took * MAX_SHARE
    }

    /// Takes in a scan.
    pub(super) fn update(&mut self, written: &[u8], changes: u64, began: Instant) {
        let ended = Instant::now();
        self.last = Some(Scan {
            ended,
            took: ended.saturating_duration_since(began),
            changes,
        });
        self.found = read_all(written).collect();
    }

    /// Processes that are new since `watched`, and those that are gone.
    pub(super) fn changes(
        &self,
        watched: &mut BTreeSet<u32>,
        wanted: bool,
    ) -> (Vec<u32>, Vec<u32>) {
        let all = self.found.iter().filter(|_| wanted);
        let now: BTreeSet<u32> = all.map(|owner| owner.process).collect();
        let changes = (
            now.difference(watched).copied().collect(),
            watched.difference(&now).copied().collect(),
        );
        *watched = now;
        changes
    }

    /// Processes by protocol.
    pub(super) fn sessions(&self, names: &SlotNames) -> Vec<Sessions> {
        let all = names.protocols().iter().map(|(number, name)| {
            let here = |owner: &&SocketOwner| names.protocol_of(owner.connection.slot) == *number;
            let owners = self.found.iter().filter(here);
            let processes: BTreeSet<u32> = owners.map(|owner| owner.process).collect();
            (*number, name, processes.len() as u64)
        });
        // Connections outside the protocols' ports are shown if there are any.
        all.filter(|(number, _, _)| names.has_connections(*number))
            .filter(|(number, _, processes)| *number != protocol::OTHER || *processes > 0)
            .map(|(_, name, processes)| Sessions {
                protocol: Arc::clone(name),
                processes,
            })
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::source::network::layout::Layout;

    /// As the kernel side writes it.
    pub(crate) fn written(process: u32, slot: u32) -> Vec<u8> {
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
        let names = SlotNames::new(&config, &layout, true);
        let mut owners = SocketOwners::default();
        let counted = |owners: &SocketOwners| {
            let sessions = owners.sessions(&names);
            let pairs = sessions
                .iter()
                .map(|it| (it.protocol.to_string(), it.processes));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(counted(&owners), [("test".to_owned(), 0)]);
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
        owners.update(&all, 0, Instant::now());
        let expected = [("other".to_owned(), 1), ("test".to_owned(), 2)];
        assert_eq!(counted(&owners), expected);
    }

    #[test]
    fn looks_when_something_has_changed_and_now_and_then_but_not_all_the_time() {
        let mut owners = SocketOwners::default();
        let now = Instant::now();
        assert!(owners.is_due(0, false, now));
        owners.update(&[], 5, now);
        let Some(look) = &mut owners.last else {
            panic!("no look")
        };
        (look.ended, look.took) = (now, Duration::from_millis(10));
        let due = |changes, urgent, seconds| {
            owners.is_due(changes, urgent, now + Duration::from_secs(seconds))
        };
        assert!(!due(5, false, 3) && due(6, false, 3) && due(5, true, 3));
        assert!(due(5, false, 10));
        assert!(!due(6, true, 1), "it took 10 ms");
    }
}
