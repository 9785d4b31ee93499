//! From parties and protocols to the entries of the kernel's tables, and back from slots to names. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use agent_ebpf::{Address, Endpoint, SLOT_CAPACITY, block, protocol};
use ipnet::IpNet;

use crate::config::{Config, Host};

/// What a configured host name stands for now.
pub type Resolved = BTreeMap<String, Vec<IpAddr>>;

/// The entries of the kernel's tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Port and protocol.
    pub ports: Vec<(u16, u32)>,
    /// Prefix (address and bits, of 128) and block.
    pub prefixes: Vec<((Address, u32), u32)>,
    /// Prefixes that MPC programs may connect to beside their parties.
    pub allowed: Vec<(Address, u32)>,
    /// Endpoint and block.
    pub endpoints: Vec<(Endpoint, u32)>,
    /// Whether there are endpoints with a port, or will be once their host names resolve.
    pub exact: bool,
    /// Length of a block.
    pub stride: u32,
    /// How many slots there must be.
    pub slots: u32,
    /// How many automatic parties there may be: as configured, or as have room.
    pub auto_limit: u32,
}

impl Tables {
    /// Of a configuration, with its host names resolved as far as they are.
    pub fn new(config: &Config, resolved: &Resolved) -> Self {
        let stride = protocol::FIRST + len(&config.protocols);
        let room = SLOT_CAPACITY / stride - 2;
        let (parties, auto_limit) = if config.parties.is_empty() {
            let limit = config.network.max_auto_parties.min(room);
            (limit, limit)
        } else {
            (len(&config.parties), 0)
        };
        let slots = block::first(stride) + parties * stride;
        let endpoints = || config.parties.iter().flat_map(|party| &party.endpoints);
        let mut tables = Self {
            exact: endpoints().any(|endpoint| endpoint.port.is_some()),
            stride,
            slots,
            auto_limit,
            allowed: config.network.allow.iter().copied().map(mapped).collect(),
            ..Self::default()
        };

        for (index, configured) in (protocol::FIRST..).zip(&config.protocols) {
            for port in configured.ports.iter().cloned().flatten() {
                tables.ports.push((port, index));
            }
        }
        let mut by_address = BTreeMap::<Address, BTreeSet<u32>>::new();
        for (block, configured) in blocks(stride).zip(&config.parties) {
            for endpoint in &configured.endpoints {
                for prefix in prefixes(&endpoint.host, resolved) {
                    let (address, bits) = mapped(prefix);
                    if let Some(port) = endpoint.port {
                        tables.endpoints.push((
                            Endpoint {
                                address,
                                port,
                                padding: 0,
                            },
                            block,
                        ));
                        by_address.entry(address).or_default().insert(block);
                    } else {
                        tables.prefixes.push(((address, bits), block));
                    }
                }
            }
        }
        // Where the party's port is ephemeral, its address tells, unless several parties share it.
        for (address, blocks) in by_address {
            if blocks.len() == 1 {
                let endpoint = Endpoint {
                    address,
                    port: 0,
                    padding: 0,
                };
                tables
                    .endpoints
                    .extend(blocks.into_iter().map(|block| (endpoint, block)));
            }
        }
        tables
    }
}

/// The blocks that are parties', in order.
fn blocks(stride: u32) -> impl Iterator<Item = u32> {
    (block::first(stride)..).step_by(stride as usize)
}

/// The labels of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `party_id`.
    pub party: Arc<str>,
    /// `protocol`.
    pub protocol: Arc<str>,
}

/// The labels of every slot that has any.
#[derive(Debug)]
pub struct Names {
    stride: u32,
    protocols: Vec<Arc<str>>,
    /// In the order of slots, with the slot.
    pub slots: Vec<(u32, Labels)>,
}

impl Names {
    /// Of a configuration. There from the start, so that their counters begin at 0: every pair of a party, but
    /// our own, and a protocol; what has no party; and what does not fit. Pairs with `protocol="other"` are
    /// for [`Names::seldom`].
    pub fn new(config: &Config) -> Self {
        let other = Arc::<str>::from("other");
        let configured = config
            .protocols
            .iter()
            .map(|protocol| Arc::from(protocol.name.as_str()));
        let protocols: Vec<_> = [Arc::clone(&other)].into_iter().chain(configured).collect();
        let mut names = Self {
            stride: len(&protocols),
            protocols,
            slots: Vec::new(),
        };
        let stride = names.stride;
        if config.parties.is_empty() {
            names.add(block::other(stride), &other);
            return names;
        }
        names.add(block::UNKNOWN, &Arc::from("unknown"));
        for (block, party) in blocks(stride).zip(&config.parties) {
            names.add(block, &Arc::from(party.id.as_str()));
        }
        names
    }

    /// Adds a party.
    fn add(&mut self, block: u32, party: &Arc<str>) {
        for (slot, protocol) in (block..).zip(&self.protocols) {
            let labels = Labels {
                party: Arc::clone(party),
                protocol: Arc::clone(protocol),
            };
            self.slots.push((slot, labels));
        }
    }

    /// Adds the automatic parties that are new, named by their address.
    pub fn learn(&mut self, automatic: &[(Address, u32)]) {
        for (address, block) in automatic {
            if !self.slots.iter().any(|(slot, _)| slot == block) {
                self.add(*block, &Arc::from(written(*address).to_string()));
            }
        }
    }

    /// Whether a slot counts those whose address is no party's.
    pub fn is_unknown(&self, slot: u32) -> bool {
        slot < block::UNKNOWN + self.stride
    }

    /// The protocol of a slot; 0, `other`, also of one that does not exist.
    pub fn protocol_of(&self, slot: u32) -> usize {
        (slot % self.stride) as usize
    }

    /// The names of the protocols, `other` first.
    pub fn protocols(&self) -> &[Arc<str>] {
        &self.protocols
    }

    /// Whether a slot is shown only once it has counted something: a party's connections on no protocol's
    /// port, which most parties never have.
    pub fn seldom(&self, slot: u32) -> bool {
        slot.is_multiple_of(self.stride)
    }
}

fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

fn prefixes(host: &Host, resolved: &Resolved) -> Vec<IpNet> {
    match host {
        Host::Prefix(prefix) => vec![*prefix],
        Host::Name(name) => resolved
            .get(name)
            .into_iter()
            .flatten()
            .map(|address| IpNet::from(*address))
            .collect(),
    }
}

/// A prefix in the kernel's one address space.
fn mapped(prefix: IpNet) -> (Address, u32) {
    match prefix {
        IpNet::V4(net) => (
            words(net.network().to_ipv6_mapped()),
            96 + u32::from(net.prefix_len()),
        ),
        IpNet::V6(net) => (words(net.network()), u32::from(net.prefix_len())),
    }
}

/// An address as the kernel keeps it.
fn words(address: Ipv6Addr) -> Address {
    let bytes = address.octets();
    std::array::from_fn(|word| {
        let at = 4 * word;
        u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    })
}

/// An address of the kernel's as people write it.
pub(super) fn written(address: Address) -> IpAddr {
    let mut bytes = [0; 16];
    for (four, word) in bytes.chunks_exact_mut(4).zip(address) {
        four.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(bytes).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint as Place, Party, tests::minimal};

    /// One protocol and "other".
    const STRIDE: u32 = 2;
    const FIRST: u32 = block::first(STRIDE);

    fn party(id: &str, endpoints: &[(&str, Option<u16>)]) -> Party {
        let place = |(host, port): &(&str, Option<u16>)| Place {
            host: host
                .parse()
                .map_or_else(|_| Host::Name((*host).to_owned()), Host::Prefix),
            port: *port,
        };
        Party {
            id: id.to_owned(),
            endpoints: endpoints.iter().map(place).collect(),
        }
    }

    fn address(text: &str) -> Address {
        match text.parse().unwrap() {
            IpAddr::V4(v4) => words(v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => words(v6),
        }
    }

    fn endpoint(text: &str, port: u16) -> Endpoint {
        Endpoint {
            address: address(text),
            port,
            padding: 0,
        }
    }

    #[test]
    fn puts_both_families_into_one_address_space() {
        let mut config = minimal();
        config.parties = vec![party(
            "1",
            &[("10.0.1.0/24", None), ("2001:db8::/32", None)],
        )];
        let tables = Tables::new(&config, &Resolved::new());
        let expected = [(address("10.0.1.0"), 120), (address("2001:db8::"), 32)];
        assert_eq!(tables.prefixes, expected.map(|prefix| (prefix, FIRST)));
        assert_eq!(
            tables.ports,
            [(7000, protocol::FIRST), (7001, protocol::FIRST)]
        );
    }

    #[test]
    fn an_address_known_by_its_ports_tells_whose_an_accepted_connection_is_if_it_is_one_partys() {
        let mut config = minimal();
        config.parties = vec![
            party(
                "1",
                &[("10.0.0.1/32", Some(7000)), ("10.0.0.1/32", Some(7001))],
            ),
            party("2", &[("10.0.0.9/32", Some(7000))]),
            party("3", &[("10.0.0.9/32", Some(7001))]),
        ];
        let tables = Tables::new(&config, &Resolved::new());
        assert_eq!(
            tables.endpoints,
            [
                (endpoint("10.0.0.1", 7000), FIRST),
                (endpoint("10.0.0.1", 7001), FIRST),
                (endpoint("10.0.0.9", 7000), FIRST + STRIDE),
                (endpoint("10.0.0.9", 7001), FIRST + 2 * STRIDE),
                (endpoint("10.0.0.1", 0), FIRST),
            ]
        );
        assert_eq!(tables.prefixes, []);
    }

    #[test]
    fn a_host_name_stands_for_all_its_addresses_once_it_resolves() {
        let mut config = minimal();
        config.parties = vec![party("1", &[("party1.example.org", None)])];
        let mut resolved = Resolved::new();
        assert_eq!(Tables::new(&config, &resolved).prefixes, []);
        let both = ["192.0.2.1", "2001:db8::1"];
        let addresses = both.iter().map(|text| text.parse().unwrap()).collect();
        resolved.insert("party1.example.org".to_owned(), addresses);
        let expected = both.map(|text| ((address(text), 128), FIRST));
        assert_eq!(Tables::new(&config, &resolved).prefixes, expected);
    }

    fn pairs(names: &Names) -> Vec<(u32, &str, &str)> {
        names
            .slots
            .iter()
            .map(|(slot, it)| (*slot, &*it.party, &*it.protocol))
            .collect()
    }

    #[test]
    fn every_slot_of_the_configuration_has_its_pair() {
        let mut config = minimal();
        config.parties = vec![party("1", &[("10.0.0.2/32", None)])];
        let names = Names::new(&config);
        assert_eq!(
            pairs(&names),
            [
                (0, "unknown", "other"),
                (1, "unknown", "test"),
                (4, "1", "other"),
                (5, "1", "test"),
            ]
        );
        assert_eq!(Tables::new(&config, &Resolved::new()).slots, 6);
        assert!(names.seldom(4) && !names.seldom(5));
    }

    #[test]
    fn without_parties_the_kernel_makes_them() {
        let tables = Tables::new(&minimal(), &Resolved::new());
        assert_eq!((tables.auto_limit, tables.slots), (64, (2 + 64) * STRIDE));
        let mut names = Names::new(&minimal());
        assert_eq!(pairs(&names), [(2, "other", "other"), (3, "other", "test")]);
        names.learn(&[(address("10.0.0.2"), FIRST)]);
        names.learn(&[
            (address("2001:db8::1"), FIRST + STRIDE),
            (address("10.0.0.2"), FIRST),
        ]);
        assert_eq!(
            pairs(&names)[2..],
            [
                (4, "10.0.0.2", "other"),
                (5, "10.0.0.2", "test"),
                (6, "2001:db8::1", "other"),
                (7, "2001:db8::1", "test"),
            ]
        );
    }

    #[test]
    fn automatic_parties_are_no_more_than_there_is_room_for() {
        let mut config = minimal();
        config.network.max_auto_parties = u32::MAX;
        let tables = Tables::new(&config, &Resolved::new());
        assert!(tables.slots <= SLOT_CAPACITY && tables.slots > SLOT_CAPACITY - STRIDE);
    }
}
