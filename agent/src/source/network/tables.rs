//! From parties and protocols to the entries of the kernel's tables, and back from slots to names. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use agent_ebpf::{Address, Endpoint, block, protocol};
use ipnet::IpNet;

use super::{
    address::{mapped, written},
    layout::Layout,
};
use crate::config::{Config, Host, Party, Transport};

/// What a configured host name stands for now.
pub type Resolved = BTreeMap<String, Vec<IpAddr>>;

/// The entries of the kernel's tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// TCP port and protocol.
    pub ports: Vec<(u16, u32)>,
    /// UDP port and protocol.
    pub udp_ports: Vec<(u16, u32)>,
    /// Prefix (address and bits, of 128) and block.
    pub prefixes: Vec<((Address, u32), u32)>,
    /// Prefixes that MPC programs may connect to beside their parties, and 1.
    pub allowed: Vec<((Address, u32), u32)>,
    /// Endpoint and block.
    pub endpoints: Vec<(Endpoint, u32)>,
    /// Whether there are endpoints with a port, or will be once their host names resolve.
    pub exact: bool,
    /// Length of a block.
    pub stride: u32,
    /// How many slots there must be.
    pub slots: u32,
    /// The number of the first automatic party: those before are configured parties'.
    pub first_auto: u32,
    /// Automatic parties have numbers below this; 0: there are none.
    pub auto_limit: u32,
}

impl Tables {
    /// Of a configuration, with its host names resolved as far as they are, and the numbers of a layout that has
    /// taken it in.
    pub fn new(config: &Config, resolved: &Resolved, layout: &Layout) -> Self {
        let endpoints = || config.parties.iter().flat_map(|party| &party.endpoints);
        let mut tables = Self {
            exact: endpoints().any(|endpoint| endpoint.port.is_some()),
            stride: layout.stride,
            slots: layout.slots(),
            first_auto: layout.party_room,
            auto_limit: if config.parties.is_empty() {
                layout.party_room + config.network.max_auto_parties.min(layout.auto_room)
            } else {
                0
            },
            allowed: config
                .network
                .allow
                .iter()
                .map(|net| (mapped(*net), 1))
                .collect(),
            ..Self::default()
        };

        for configured in &config.protocols {
            let Some(index) = layout.protocol(&configured.name) else {
                continue;
            };
            let ports = match configured.transport {
                Transport::Tcp => &mut tables.ports,
                Transport::Udp => &mut tables.udp_ports,
            };
            let all = configured.ports.iter().cloned().flatten();
            ports.extend(all.map(|port| (port, index)));
        }
        let mut by_address = BTreeMap::<Address, BTreeSet<u32>>::new();
        for configured in &config.parties {
            let Some(block) = layout.block(&configured.id) else {
                continue;
            };
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
        // Where the party's port is ephemeral, its address tells: whose it is, or that it is one of those who share it.
        for (address, blocks) in by_address {
            let mut blocks = blocks.into_iter();
            let block = match (blocks.next(), blocks.next()) {
                (Some(only), None) => only,
                _ => block::other(tables.stride),
            };
            let endpoint = Endpoint {
                address,
                port: 0,
                padding: 0,
            };
            tables.endpoints.push((endpoint, block));
        }
        tables
    }
}

/// The labels of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `party_id`.
    pub party: Arc<str>,
    /// `protocol`.
    pub protocol: Arc<str>,
}

/// The labels of every slot that has or had any.
#[derive(Debug)]
pub struct Names {
    stride: u32,
    /// Those of the configuration that are counted, with their numbers, and `other`.
    protocols: Vec<(u32, Arc<str>)>,
    /// Numbers of those that are or were on TCP.
    on_tcp: BTreeSet<u32>,
    /// Whether datagrams are counted.
    udp: bool,
    /// Whether parties are configured now.
    has_parties: bool,
    automatic: BTreeMap<u32, Arc<str>>,
    /// In the order of slots, with the slot.
    pub slots: Vec<(u32, Labels)>,
}

impl Names {
    /// Of a configuration and a layout that has taken it in; protocols on UDP only if it is counted.
    pub fn new(config: &Config, layout: &Layout, udp: bool) -> Self {
        let mut names = Self {
            stride: layout.stride,
            protocols: Vec::new(),
            on_tcp: BTreeSet::from([protocol::OTHER]),
            udp,
            has_parties: false,
            automatic: BTreeMap::new(),
            slots: Vec::new(),
        };
        names.take_in(config, layout);
        names
    }

    /// Adds the pairs of a configuration. There from the start, so that their counters begin at 0: every pair of a
    /// party and a protocol; what has no party; and what does not fit. Pairs with `protocol="other"`, and those of
    /// parties that share an address, are for [`Names::seldom`]. What is there already stays.
    pub fn take_in(&mut self, config: &Config, layout: &Layout) {
        let other = Arc::<str>::from("other");
        let counted = config.protocols.iter().filter_map(|protocol| {
            let name = protocol.name.as_str();
            let on_tcp = protocol.transport == Transport::Tcp;
            let number = layout.protocol(name)?;
            (on_tcp || self.udp).then(|| (on_tcp, number, Arc::from(name)))
        });
        let counted: Vec<(bool, u32, Arc<str>)> = counted.collect();
        let on_tcp = counted.iter().filter(|(on_tcp, ..)| *on_tcp);
        self.on_tcp.extend(on_tcp.map(|(_, number, _)| *number));
        let configured = counted.into_iter().map(|(_, number, name)| (number, name));
        self.protocols = [(protocol::OTHER, Arc::clone(&other))]
            .into_iter()
            .chain(configured)
            .collect();
        self.has_parties = !config.parties.is_empty();
        if config.parties.is_empty() {
            self.add(block::other(self.stride), &other);
            for (block, party) in std::mem::take(&mut self.automatic) {
                self.add(block, &party);
                self.automatic.insert(block, party);
            }
        } else {
            self.add(block::UNKNOWN, &Arc::from("unknown"));
            for party in &config.parties {
                if let Some(block) = layout.block(&party.id) {
                    self.add(block, &Arc::from(party.id.as_str()));
                }
            }
            let by_port = |party: &&Party| party.endpoints.iter().any(|it| it.port.is_some());
            if config.parties.iter().filter(by_port).count() > 1 {
                self.add(block::other(self.stride), &other);
            }
        }
        self.slots.sort_by_key(|(slot, _)| *slot);
        self.slots.dedup_by_key(|(slot, _)| *slot);
    }

    /// Adds a party; a slot may then be there twice, the older first.
    fn add(&mut self, block: u32, party: &Arc<str>) {
        for (protocol, name) in &self.protocols {
            let labels = Labels {
                party: Arc::clone(party),
                protocol: Arc::clone(name),
            };
            self.slots.push((block + protocol, labels));
        }
    }

    /// Adds the automatic parties that are new, named by their address.
    pub fn learn(&mut self, automatic: &[(Address, u32)]) {
        for (address, block) in automatic {
            if !self.automatic.contains_key(block) {
                let party = Arc::from(written(*address).to_string());
                self.add(*block, &party);
                self.automatic.insert(*block, party);
            }
        }
        self.slots.sort_by_key(|(slot, _)| *slot);
    }

    /// Whether a slot counts those whose address is no party's.
    pub fn is_unknown(&self, slot: u32) -> bool {
        slot < block::UNKNOWN + self.stride
    }

    /// Whether a slot has only ever counted datagrams.
    pub fn is_udp(&self, slot: u32) -> bool {
        !self.has_connections(self.protocol_of(slot))
    }

    /// Whether a protocol is or was on TCP.
    pub fn has_connections(&self, protocol: u32) -> bool {
        self.on_tcp.contains(&protocol)
    }

    /// The number of a slot's protocol; 0: `other`.
    pub fn protocol_of(&self, slot: u32) -> u32 {
        slot % self.stride
    }

    /// The name of a slot's protocol, if it is configured now.
    pub fn protocol_name(&self, slot: u32) -> Option<&str> {
        let number = self.protocol_of(slot);
        let mut all = self.protocols.iter();
        all.find(|(it, _)| *it == number).map(|(_, name)| &**name)
    }

    /// The protocols that are configured now, with their numbers, `other` first.
    pub fn protocols(&self) -> &[(u32, Arc<str>)] {
        &self.protocols
    }

    /// Whether a slot is shown only once it has counted something: a party's connections on no protocol's
    /// port, which most parties never have, and those of one of several parties at an address.
    pub fn seldom(&self, slot: u32) -> bool {
        let shared = self.has_parties && slot / self.stride == block::other(1);
        shared || slot.is_multiple_of(self.stride)
    }
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

#[cfg(test)]
mod tests {
    use super::{super::address::words, *};
    use crate::config::{Endpoint as Place, tests::minimal};

    /// One protocol, room for eight, and "other".
    const STRIDE: u32 = 10;
    const FIRST: u32 = block::first(STRIDE);

    fn tables(config: &Config) -> Tables {
        Tables::new(config, &Resolved::new(), &Layout::new(config))
    }

    fn names(config: &Config) -> Names {
        Names::new(config, &Layout::new(config), true)
    }

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
        let tables = tables(&config);
        let expected = [(address("10.0.1.0"), 120), (address("2001:db8::"), 32)];
        assert_eq!(tables.prefixes, expected.map(|prefix| (prefix, FIRST)));
        assert_eq!(
            tables.ports,
            [(7000, protocol::FIRST), (7001, protocol::FIRST)]
        );
    }

    #[test]
    fn an_address_known_by_its_ports_tells_whose_an_accepted_connection_is_or_that_it_is_one_of_those()
     {
        let mut config = minimal();
        config.parties = vec![
            party(
                "1",
                &[("10.0.0.1/32", Some(7000)), ("10.0.0.1/32", Some(7001))],
            ),
            party("2", &[("10.0.0.9/32", Some(7000))]),
            party("3", &[("10.0.0.9/32", Some(7001))]),
        ];
        let tables = tables(&config);
        assert_eq!(
            tables.endpoints,
            [
                (endpoint("10.0.0.1", 7000), FIRST),
                (endpoint("10.0.0.1", 7001), FIRST),
                (endpoint("10.0.0.9", 7000), FIRST + STRIDE),
                (endpoint("10.0.0.9", 7001), FIRST + 2 * STRIDE),
                (endpoint("10.0.0.1", 0), FIRST),
                (endpoint("10.0.0.9", 0), block::other(STRIDE)),
            ]
        );
        assert_eq!(tables.prefixes, []);
        let names = names(&config);
        let shared = block::other(STRIDE) + protocol::FIRST;
        assert!(pairs(&names).contains(&(shared, "other", "test")));
        assert!(names.seldom(shared));
    }

    #[test]
    fn a_host_name_stands_for_all_its_addresses_once_it_resolves() {
        let mut config = minimal();
        config.parties = vec![party("1", &[("party1.example.org", None)])];
        let mut resolved = Resolved::new();
        assert_eq!(
            Tables::new(&config, &resolved, &Layout::new(&config)).prefixes,
            []
        );
        let both = ["192.0.2.1", "2001:db8::1"];
        let addresses = both.iter().map(|text| text.parse().unwrap()).collect();
        resolved.insert("party1.example.org".to_owned(), addresses);
        let expected = both.map(|text| ((address(text), 128), FIRST));
        assert_eq!(
            Tables::new(&config, &resolved, &Layout::new(&config)).prefixes,
            expected
        );
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
        let names = names(&config);
        assert_eq!(
            pairs(&names),
            [
                (0, "unknown", "other"),
                (1, "unknown", "test"),
                (FIRST, "1", "other"),
                (FIRST + 1, "1", "test"),
            ]
        );
        assert!(names.seldom(FIRST) && !names.seldom(FIRST + 1));
    }

    #[test]
    fn what_comes_later_has_names_of_its_own_and_what_goes_keeps_its() {
        let mut config = minimal();
        config.parties = vec![party("1", &[("10.0.0.2/32", None)])];
        let mut layout = Layout::new(&config);
        let mut names = Names::new(&config, &layout, true);
        config.parties[0].id = "2".to_owned();
        config.protocols[0].name = "new".to_owned();
        layout.take_in(&config).unwrap();
        names.take_in(&config, &layout);
        let second = FIRST + STRIDE;
        let expected = [
            (0, "unknown", "other"),
            (1, "unknown", "test"),
            (2, "unknown", "new"),
            (FIRST, "1", "other"),
            (FIRST + 1, "1", "test"),
            (second, "2", "other"),
            (second + 2, "2", "new"),
        ];
        assert_eq!(pairs(&names), expected);
        let tables = Tables::new(&config, &Resolved::new(), &layout);
        assert_eq!(tables.prefixes, [((address("10.0.0.2"), 128), second)]);
        assert_eq!(tables.ports, [(7000, 2), (7001, 2)]);

        config.parties.clear();
        names.take_in(&config, &layout);
        names.learn(&[(address("10.0.0.2"), FIRST + 9 * STRIDE)]);
        let later = names.slots.len();
        config.protocols[0].name = "test".to_owned();
        names.take_in(&config, &layout);
        assert_eq!(
            names.slots.len(),
            later + 2,
            "of `other` and of the automatic party"
        );
    }

    #[test]
    fn without_parties_the_kernel_makes_them() {
        let layout = Layout::new(&minimal());
        let tables = tables(&minimal());
        let first_auto = layout.party_room;
        assert_eq!(
            (tables.first_auto, tables.auto_limit),
            (first_auto, first_auto + 64)
        );
        let mut names = names(&minimal());
        assert_eq!(
            pairs(&names),
            [(STRIDE, "other", "other"), (STRIDE + 1, "other", "test")]
        );
        assert!(!names.seldom(STRIDE + 1));
        let block = FIRST + first_auto * STRIDE;
        names.learn(&[(address("10.0.0.2"), block)]);
        names.learn(&[
            (address("2001:db8::1"), block + STRIDE),
            (address("10.0.0.2"), block),
        ]);
        assert_eq!(
            pairs(&names)[2..],
            [
                (block, "10.0.0.2", "other"),
                (block + 1, "10.0.0.2", "test"),
                (block + STRIDE, "2001:db8::1", "other"),
                (block + STRIDE + 1, "2001:db8::1", "test"),
            ]
        );
    }
}
