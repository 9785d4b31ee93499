//! From parties and protocols to the entries of the kernel's tables, and back from slots to names. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use agent_ebpf::{Address, Endpoint, block, endpoints, protocol};
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
    /// Whether parties are known by address and port, of [`agent_ebpf::endpoints`].
    pub exactness: u32,
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
        let mut all = config.parties.iter().flat_map(|party| &party.endpoints);
        let exactness = if all.any(|endpoint| endpoint.port.is_some()) {
            endpoints::EXACT
        } else {
            endpoints::NONE
        };
        let mut tables = Self {
            exactness,
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
            let block = if let (Some(only), None) = (blocks.next(), blocks.next()) {
                only
            } else {
                tables.exactness = endpoints::SHARED;
                block::other(tables.stride)
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
mod tests;
