//! The numbers of parties and protocols in the kernel's tables. A number stays assigned while the agent runs, even if
//! its party leaves the configuration, so that a counter keeps its meaning. A start reserves room for more. Pure.

use std::{collections::BTreeMap, sync::Arc};

use agent_ebpf::{HISTOGRAM_CAPACITY, SLOT_CAPACITY, block, protocol};

use crate::config::Config;

/// Protocols and parties that a running agent has room for: the first pair that keeps the slots under
/// [`SPARE_SLOT_LIMIT`].
const SPARE: [(u32, u32); 4] = [(8, 64), (2, 64), (0, 16), (0, 0)];
/// The most slots with spare room.
const SPARE_SLOT_LIMIT: u32 = 32_768;
/// Automatic parties that a configuration with parties has room for, in case all parties are removed.
const SPARE_AUTO: u32 = 64;

/// The numbers of everything that is or was configured, and the room for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of a block: `other` and the protocols that have room.
    pub stride: u32,
    /// Configured parties that have room; the blocks of automatic parties follow.
    pub party_capacity: u32,
    /// Automatic parties that have room.
    pub auto_capacity: u32,
    parties: Numbers,
    protocols: Numbers,
}

/// Name and number, from 0 in order of arrival.
type Numbers = BTreeMap<Arc<str>, u32>;

/// What has a name and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A configured party.
    Party = 0,
    /// A protocol.
    Protocol = 1,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Party, Self::Protocol];
}

/// A new configuration has no room without a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{have} {what} are or were configured, and there is room for {room}")]
pub struct NoRoom {
    what: &'static str,
    have: usize,
    room: u32,
}

impl Layout {
    /// For a configuration, with room to grow.
    pub fn new(config: &Config) -> Self {
        let (parties, protocols) = (len(&config.parties), len(&config.protocols));
        let auto = config.network.max_auto_parties;
        let of = |(spare_protocols, spare_parties): (u32, u32)| {
            let stride = protocol::FIRST + protocols + spare_protocols;
            let party_capacity = parties + spare_parties;
            // How many blocks fit into the slots that are left.
            let left = (SLOT_CAPACITY / stride).saturating_sub(2 + party_capacity);
            let wanted = if parties == 0 {
                auto
            } else {
                auto.min(SPARE_AUTO)
            };
            Self {
                stride,
                party_capacity,
                auto_capacity: wanted.min(left),
                parties: names(config.parties.iter().map(|party| &*party.id)),
                protocols: names(config.protocols.iter().map(|protocol| &*protocol.name)),
            }
        };
        let modest = SPARE
            .into_iter()
            .find(|spare| of(*spare).slots() <= SPARE_SLOT_LIMIT);
        of(modest.unwrap_or((0, 0)))
    }

    /// Restores the layout of an earlier agent from [`Layout::dimensions`], if its names are complete.
    pub fn restore(
        [stride, party_capacity, auto_capacity]: [u32; 3],
        names: impl IntoIterator<Item = (Kind, u32, Arc<str>)>,
    ) -> Option<Self> {
        let mut layout = Self {
            stride,
            party_capacity,
            auto_capacity,
            parties: Numbers::new(),
            protocols: Numbers::new(),
        };
        for (kind, number, name) in names {
            let numbers = match kind {
                Kind::Party => &mut layout.parties,
                Kind::Protocol => &mut layout.protocols,
            };
            numbers.insert(name, number);
        }
        let fits = |numbers: &Numbers, room: Option<u32>| {
            let mut all: Vec<u32> = numbers.values().copied().collect();
            all.sort_unstable();
            (0..).zip(&all).all(|(wanted, number)| wanted == *number)
                && room.is_some_and(|room| len(&all) <= room)
        };
        let most_protocols = stride.checked_sub(protocol::FIRST);
        (fits(&layout.parties, Some(party_capacity)) && fits(&layout.protocols, most_protocols))
            .then_some(layout)
    }

    /// `stride`, `party_capacity` and `auto_capacity`.
    pub fn dimensions(&self) -> [u32; 3] {
        [self.stride, self.party_capacity, self.auto_capacity]
    }

    /// Everything that has a number, by kind and number.
    pub fn names(&self) -> Vec<(Kind, u32, &str)> {
        let mut all = Vec::new();
        for (kind, numbers) in [
            (Kind::Party, &self.parties),
            (Kind::Protocol, &self.protocols),
        ] {
            let of_kind = numbers.iter();
            all.extend(of_kind.map(|(name, number)| (kind, *number, &**name)));
        }
        all.sort_by_key(|(kind, number, _)| (*kind as u32, *number));
        all
    }

    /// How many names fit.
    pub fn names_capacity(&self) -> u32 {
        self.party_capacity + self.stride
    }

    /// How many slots the counters need.
    pub fn slots(&self) -> u32 {
        block::first(self.stride) + (self.party_capacity + self.auto_capacity) * self.stride
    }

    /// How many histograms to reserve, two for each pair: two protocols for each existing party, one for each that may
    /// come. Each takes 5 kB from the start.
    pub fn histograms(&self) -> u32 {
        let parties = len_of(&self.parties);
        let likely = if parties == 0 {
            self.auto_capacity
        } else {
            parties
        };
        let spare = self.party_capacity.saturating_sub(parties);
        let wanted = likely.saturating_mul(4).saturating_add(spare * 2);
        wanted
            .min(self.slots().saturating_mul(2))
            .min(HISTOGRAM_CAPACITY)
    }

    /// Assigns numbers to what is new in a configuration.
    ///
    /// # Errors
    /// If there is no room; nothing changes then.
    pub fn extend(&mut self, config: &Config) -> Result<(), NoRoom> {
        let mut parties = self.parties.clone();
        let mut protocols = self.protocols.clone();
        add(&mut parties, config.parties.iter().map(|party| &*party.id));
        add(&mut protocols, config.protocols.iter().map(|it| &*it.name));
        let most_protocols = self.stride - protocol::FIRST;
        for (what, numbers, room) in [
            ("parties", &parties, self.party_capacity),
            ("protocols", &protocols, most_protocols),
        ] {
            let have = numbers.len();
            if have > room as usize {
                return Err(NoRoom { what, have, room });
            }
        }
        (self.parties, self.protocols) = (parties, protocols);
        Ok(())
    }

    /// As [`Layout::extend`], at a start: there must also be room for every automatic party.
    ///
    /// # Errors
    /// As there.
    pub fn resume(&mut self, config: &Config) -> Result<(), NoRoom> {
        let wanted = Self::new(config).auto_capacity;
        if config.parties.is_empty() && wanted > self.auto_capacity {
            return Err(NoRoom {
                what: "automatic parties",
                have: wanted as usize,
                room: self.auto_capacity,
            });
        }
        self.extend(config)
    }

    /// A party's block.
    pub fn block(&self, party: &str) -> Option<u32> {
        let number = self.parties.get(party)?;
        Some(block::first(self.stride) + number * self.stride)
    }

    /// A protocol's number.
    pub fn protocol(&self, name: &str) -> Option<u32> {
        Some(protocol::FIRST + self.protocols.get(name)?)
    }
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> Numbers {
    let mut numbers = Numbers::new();
    add(&mut numbers, all);
    numbers
}

fn add<'a>(numbers: &mut Numbers, all: impl Iterator<Item = &'a str>) {
    for name in all {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        if !numbers.contains_key(name) {
            numbers.insert(Arc::from(name), next);
        }
    }
}

fn len_of(numbers: &Numbers) -> u32 {
    u32::try_from(numbers.len()).unwrap_or(u32::MAX)
}

fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Party, Protocol, Transport, tests::minimal};

    fn config(parties: &[&str], protocols: &[&str]) -> Config {
        let mut config = minimal();
        config.parties = parties
            .iter()
            .map(|id| Party {
                id: (*id).to_owned(),
                endpoints: Vec::new(),
            })
            .collect();
        config.protocols = protocols
            .iter()
            .map(|name| Protocol {
                name: (*name).to_owned(),
                transport: Transport::Tcp,
                ports: Vec::new(),
            })
            .collect();
        config
    }

    #[test]
    fn numbers_stay_whatever_comes_and_goes() {
        let mut layout = Layout::new(&config(&["a", "b"], &["p"]));
        let (slots, a, b) = (layout.slots(), layout.block("a"), layout.block("b"));
        layout.extend(&config(&["b", "c"], &["q", "p"])).unwrap();
        layout.extend(&config(&["c"], &["q"])).unwrap();
        assert_eq!((layout.block("a"), layout.block("b")), (a, b));
        assert_eq!(a, Some(block::first(layout.stride)));
        assert_eq!(layout.block("c"), b.map(|block| block + layout.stride));
        assert_eq!(
            (layout.protocol("p"), layout.protocol("q")),
            (Some(1), Some(2))
        );
        assert_eq!(layout.slots(), slots);
    }

    #[test]
    fn what_has_no_room_changes_nothing() {
        let mut layout = Layout::new(&config(&["a"], &["p"]));
        let before = layout.clone();
        let many: Vec<String> = (0..=layout.party_capacity)
            .map(|id| id.to_string())
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let full = layout.extend(&config(&many, &["p"])).unwrap_err();
        assert_eq!(
            full.to_string(),
            "67 parties are or were configured, and there is room for 65"
        );
        let full = layout.extend(&config(&["a"], &many)).unwrap_err();
        assert!(full.to_string().starts_with("67 protocols "), "{full}");
        assert_eq!(layout, before);
    }

    #[test]
    fn an_agent_goes_on_with_the_numbers_of_the_one_before() {
        let mut before = Layout::new(&config(&["b", "a"], &["p"]));
        before.extend(&config(&["c"], &["q"])).unwrap();
        let names = |layout: &Layout| {
            let names = layout.names().into_iter();
            names
                .map(|(kind, number, name)| (kind, number, Arc::from(name)))
                .collect::<Vec<_>>()
        };
        let mut after = Layout::restore(before.dimensions(), names(&before)).unwrap();
        assert_eq!(after, before);
        after.resume(&config(&["d", "a"], &["q"])).unwrap();
        assert_eq!(after.block("a"), before.block("a"));
        let next = before.block("c").map(|block| block + before.stride);
        assert_eq!(after.block("d"), next);
        let mut more = config(&[], &["p"]);
        more.network.max_auto_parties = 65;
        let full = after.resume(&more).unwrap_err();
        assert!(
            full.to_string().starts_with("65 automatic parties"),
            "{full}"
        );

        let mut gap = names(&before);
        gap.remove(0);
        assert_eq!(Layout::restore(before.dimensions(), gap), None);
        let [_, party_capacity, auto_capacity] = before.dimensions();
        for stride in [0, 2] {
            let dimensions = [stride, party_capacity, auto_capacity];
            assert_eq!(Layout::restore(dimensions, names(&before)), None);
        }
    }

    #[test]
    fn there_are_histograms_for_every_likely_pair_and_little_memory_is_taken() {
        let few = Layout::new(&config(&["a", "b"], &["p"]));
        assert_eq!(few.histograms(), 2 * 4 + 64 * 2);
        let automatic = Layout::new(&config(&[], &["p"]));
        assert_eq!(automatic.histograms(), 64 * 4 + 64 * 2);
        let parties: Vec<String> = (0..4096).map(|id| id.to_string()).collect();
        let parties: Vec<&str> = parties.iter().map(String::as_str).collect();
        let many = Layout::new(&config(&parties, &["p"]));
        assert_eq!(many.histograms(), HISTOGRAM_CAPACITY);
    }

    #[test]
    fn room_for_growth_is_modest_and_never_more_than_there_is() {
        assert!(Layout::new(&config(&[], &["p"])).slots() <= SPARE_SLOT_LIMIT);
        let parties: Vec<String> = (0..20_000).map(|id| id.to_string()).collect();
        let parties: Vec<&str> = parties.iter().map(String::as_str).collect();
        let layout = Layout::new(&config(&parties, &["p"]));
        assert_eq!((layout.stride, layout.party_capacity), (2, 20_000));
        let mut many = minimal();
        many.network.max_auto_parties = u32::MAX;
        let layout = Layout::new(&many);
        assert!(layout.slots() <= SLOT_CAPACITY && layout.slots() > SLOT_CAPACITY - layout.stride);
    }
}
