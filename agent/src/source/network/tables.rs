//! From parties and protocols to the entries of the kernel's tables, and back from its numbers to names.
//! Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use agent_ebpf::{Address, Endpoint, SlotKey, party, protocol};
use ipnet::IpNet;

use crate::config::{Config, Host};

/// What a configured host name stands for now.
pub type Resolved = BTreeMap<String, Vec<IpAddr>>;

/// The entries of the kernel's tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Port and protocol index.
    pub ports: Vec<(u16, u32)>,
    /// Prefix (address and bits, of 128) and party index.
    pub prefixes: Vec<((Address, u32), u32)>,
    /// Endpoint and party index.
    pub endpoints: Vec<(Endpoint, u32)>,
    /// The pairs that have a slot from the start, so that their counters begin at 0.
    pub slots: Vec<SlotKey>,
    /// How many automatic parties there may be.
    pub auto_limit: u32,
}

/// The labels of the kernel's numbers.
#[derive(Debug)]
pub struct Names {
    parties: Vec<Arc<str>>,
    protocols: Vec<Arc<str>>,
    unknown: Arc<str>,
    other: Arc<str>,
}

impl Names {
    /// Of a configuration, in its order.
    pub fn new(config: &Config) -> Self {
        Self {
            parties: config
                .parties
                .iter()
                .map(|party| Arc::from(party.id.as_str()))
                .collect(),
            protocols: config
                .protocols
                .iter()
                .map(|it| Arc::from(it.name.as_str()))
                .collect(),
            unknown: Arc::from("unknown"),
            other: Arc::from("other"),
        }
    }

    /// The label `party_id` of a configured party's index; automatic ones are named by their address.
    pub fn party(&self, index: u32) -> Option<Arc<str>> {
        match index {
            party::UNKNOWN => Some(Arc::clone(&self.unknown)),
            party::OTHER => Some(Arc::clone(&self.other)),
            _ => nth(&self.parties, index, party::FIRST),
        }
    }

    /// The label `protocol` of an index.
    pub fn protocol(&self, index: u32) -> Option<Arc<str>> {
        match index {
            protocol::OTHER => Some(Arc::clone(&self.other)),
            _ => nth(&self.protocols, index, protocol::FIRST),
        }
    }
}

fn nth(names: &[Arc<str>], index: u32, first: u32) -> Option<Arc<str>> {
    names
        .get(index.checked_sub(first)? as usize)
        .map(Arc::clone)
}

impl Tables {
    /// Of a configuration, with its host names resolved as far as they are.
    pub fn new(config: &Config, resolved: &Resolved) -> Self {
        let mut tables = Self::default();
        for (index, configured) in (protocol::FIRST..).zip(&config.protocols) {
            for port in configured.ports.iter().cloned().flatten() {
                tables.ports.push((port, index));
            }
        }

        let mut by_address = BTreeMap::<Address, BTreeSet<u32>>::new();
        for (index, configured) in (party::FIRST..).zip(&config.parties) {
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
                            index,
                        ));
                        by_address.entry(address).or_default().insert(index);
                    } else {
                        tables.prefixes.push(((address, bits), index));
                    }
                }
            }
        }
        // Where the party's port is ephemeral, its address tells, unless several parties share it.
        for (address, indexes) in by_address {
            if indexes.len() == 1 {
                let endpoint = Endpoint {
                    address,
                    port: 0,
                    padding: 0,
                };
                tables
                    .endpoints
                    .extend(indexes.into_iter().map(|index| (endpoint, index)));
            }
        }

        let protocols = protocol::FIRST..protocol::FIRST + len(&config.protocols);
        if config.parties.is_empty() {
            tables.auto_limit = config.network.max_auto_parties;
        } else {
            let own = |index: &u32| {
                let at = (*index - party::FIRST) as usize;
                config.party_id.as_deref() == Some(config.parties[at].id.as_str())
            };
            let parties = party::FIRST..party::FIRST + len(&config.parties);
            for party in parties.filter(|index| !own(index)).chain([party::UNKNOWN]) {
                tables.slots.extend(
                    protocols
                        .clone()
                        .map(|protocol| SlotKey { party, protocol }),
                );
            }
        }
        // What does not fit must have a place that does.
        let all = [protocol::OTHER].into_iter().chain(protocols);
        tables.slots.extend(all.map(|protocol| SlotKey {
            party: party::OTHER,
            protocol,
        }));
        tables
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
            net.network().to_ipv6_mapped().octets(),
            96 + u32::from(net.prefix_len()),
        ),
        IpNet::V6(net) => (net.network().octets(), u32::from(net.prefix_len())),
    }
}

/// An address of the kernel's as people write it.
pub fn written(address: Address) -> String {
    Ipv6Addr::from(address).to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint as Place, Party, tests::minimal};

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
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
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
        assert_eq!(
            tables.prefixes,
            expected.map(|prefix| (prefix, party::FIRST))
        );
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
        let first = party::FIRST;
        assert_eq!(
            tables.endpoints,
            [
                (endpoint("10.0.0.1", 7000), first),
                (endpoint("10.0.0.1", 7001), first),
                (endpoint("10.0.0.9", 7000), first + 1),
                (endpoint("10.0.0.9", 7001), first + 2),
                (endpoint("10.0.0.1", 0), first),
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
        let expected = both.map(|text| ((address(text), 128), party::FIRST));
        assert_eq!(Tables::new(&config, &resolved).prefixes, expected);
    }

    #[test]
    fn every_pair_but_our_own_starts_with_a_slot() {
        let mut config = minimal();
        config.party_id = Some("0".to_owned());
        config.parties = vec![
            party("0", &[("10.0.0.1/32", None)]),
            party("1", &[("10.0.0.2/32", None)]),
        ];
        let slots = Tables::new(&config, &Resolved::new()).slots;
        let pairs: Vec<_> = slots.iter().map(|key| (key.party, key.protocol)).collect();
        let test = protocol::FIRST;
        assert_eq!(
            pairs,
            [
                (party::FIRST + 1, test),
                (party::UNKNOWN, test),
                (party::OTHER, protocol::OTHER),
                (party::OTHER, test),
            ]
        );
    }

    #[test]
    fn without_parties_the_kernel_makes_them() {
        let tables = Tables::new(&minimal(), &Resolved::new());
        assert_eq!(tables.auto_limit, 64);
        assert!(tables.slots.iter().all(|key| key.party == party::OTHER));
    }
}
