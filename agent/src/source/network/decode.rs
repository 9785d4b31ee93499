//! From the kernel's numbers to a sample. Pure, but for what it published last.

use std::{collections::BTreeMap, sync::Arc};

use agent_ebpf::{Address, Counters, SlotKey, party};

use super::tables::{Names, written};
use crate::sample::Traffic;

/// The slots with their names, and what was published of each.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: BTreeMap<u32, Slot>,
}

#[derive(Debug)]
struct Slot {
    party: Arc<str>,
    protocol: Arc<str>,
    published: Counters,
}

impl Slots {
    /// Takes the kernel's slot table in. What has no name cannot be shown; it is there the next time.
    pub(super) fn learn(
        &mut self,
        table: &[(SlotKey, u32)],
        automatic: &[(Address, u32)],
        names: &Names,
    ) {
        let addresses: BTreeMap<u32, Address> = automatic
            .iter()
            .map(|(address, index)| (*index, *address))
            .collect();
        for (key, number) in table {
            if self.slots.contains_key(number) {
                continue;
            }
            let party = if key.party >= party::FIRST_AUTO {
                addresses
                    .get(&key.party)
                    .map(|address| Arc::from(written(*address)))
            } else {
                names.party(key.party)
            };
            if let (Some(party), Some(protocol)) = (party, names.protocol(key.protocol)) {
                let slot = Slot {
                    party,
                    protocol,
                    published: Counters::default(),
                };
                self.slots.insert(*number, slot);
            }
        }
    }

    /// How many slots have a name.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What to publish now. A counter never goes back: a FIN that was seen before the kernel had marked it
    /// is taken out of the slot at the next settle, and until then the larger figure stands.
    pub(super) fn publish(&mut self, read: impl Fn(u32) -> Option<Counters>) -> Vec<Traffic> {
        let one = |(number, slot): (&u32, &mut Slot)| {
            let now = read(*number)?;
            let published = &mut slot.published;
            published.transmit = forward(published.transmit, now.transmit);
            published.receive = forward(published.receive, now.receive);
            published.retransmit = forward(published.retransmit, now.retransmit);
            Some(Traffic {
                party: Arc::clone(&slot.party),
                protocol: Arc::clone(&slot.protocol),
                transmit: published.transmit,
                receive: published.receive,
                retransmit: published.retransmit,
            })
        };
        self.slots.iter_mut().filter_map(one).collect()
    }
}

/// The larger of two readings of a counter that wraps: also right where a correction took it below 0.
fn forward(before: u64, now: u64) -> u64 {
    if now.wrapping_sub(before).cast_signed() > 0 {
        now
    } else {
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_ebpf::protocol;

    fn names() -> Names {
        let mut config = crate::config::tests::minimal();
        config.parties = vec![crate::config::Party {
            id: "hospital".to_owned(),
            endpoints: Vec::new(),
        }];
        Names::new(&config)
    }

    fn counters(transmit: u64) -> Counters {
        Counters {
            transmit,
            ..Counters::default()
        }
    }

    #[test]
    fn names_configured_and_automatic_parties() {
        let mut slots = Slots::default();
        let key = |party| SlotKey {
            party,
            protocol: protocol::FIRST,
        };
        let table = [
            (key(party::FIRST), 0),
            (key(party::UNKNOWN), 1),
            (key(party::FIRST_AUTO), 2),
            (key(party::FIRST_AUTO + 1), 3),
        ];
        let v4 = "::ffff:10.0.0.2"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        slots.learn(&table, &[(v4, party::FIRST_AUTO)], &names());
        let shown = slots.publish(|_| Some(counters(7)));
        let parties: Vec<&str> = shown.iter().map(|traffic| &*traffic.party).collect();
        assert_eq!(
            parties,
            ["hospital", "unknown", "10.0.0.2"],
            "one has no name yet"
        );
    }

    #[test]
    fn never_goes_back() {
        let mut slots = Slots::default();
        slots.learn(
            &[(
                SlotKey {
                    party: party::UNKNOWN,
                    protocol: protocol::OTHER,
                },
                5,
            )],
            &[],
            &names(),
        );
        let mut published = |value| slots.publish(|_| Some(counters(value)))[0].transmit;
        assert_eq!(
            published(u64::MAX),
            0,
            "a correction below 0 shows as nothing"
        );
        assert_eq!(published(10), 10);
        assert_eq!(published(9), 10);
        assert_eq!(published(11), 11);
    }
}
