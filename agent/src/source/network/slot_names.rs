//! The party and protocol of each slot. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_ebpf::{Address, block, protocol};

use super::{address::written, layout::Layout};
use crate::config::{Config, Party, Transport};

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
pub struct SlotNames {
    stride: u32,
    /// The configured protocols that are counted, with their numbers, and `other`.
    protocols: Vec<(u32, Arc<str>)>,
    /// Numbers of protocols that are or were on TCP.
    on_tcp: BTreeSet<u32>,
    udp: bool,
    has_parties: bool,
    automatic: BTreeMap<u32, Arc<str>>,
    /// By slot.
    pub slots: Vec<(u32, Labels)>,
}

impl SlotNames {
    /// For a configuration and a layout that includes it. Protocols on UDP are included only if `udp`.
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
        names.extend(config, layout);
        names
    }

    /// Adds the pairs of a configuration, so that their counters start at 0: every party with every protocol,
    /// `unknown`, and `other` for what does not fit. [`SlotNames::is_hidden_while_zero`] covers `protocol="other"` and
    /// parties that share an address. Existing pairs stay.
    pub fn extend(&mut self, config: &Config, layout: &Layout) {
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

    /// Adds a party. A slot may then be listed twice, the older entry first.
    fn add(&mut self, block: u32, party: &Arc<str>) {
        for (protocol, name) in &self.protocols {
            let labels = Labels {
                party: Arc::clone(party),
                protocol: Arc::clone(name),
            };
            self.slots.push((block + protocol, labels));
        }
    }

    /// Adds new automatic parties, named by address.
    pub fn add_automatic(&mut self, automatic: &[(Address, u32)]) {
        for (address, block) in automatic {
            if !self.automatic.contains_key(block) {
                let party = Arc::from(written(*address).to_string());
                self.add(*block, &party);
                self.automatic.insert(*block, party);
            }
        }
        self.slots.sort_by_key(|(slot, _)| *slot);
    }

    /// Whether a slot counts unconfigured addresses.
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

    /// The number of a slot's protocol; 0 is `other`.
    pub fn protocol_of(&self, slot: u32) -> u32 {
        slot % self.stride
    }

    /// The name of a slot's protocol, if configured now.
    pub fn protocol_name(&self, slot: u32) -> Option<&str> {
        let number = self.protocol_of(slot);
        let mut all = self.protocols.iter();
        all.find(|(it, _)| *it == number).map(|(_, name)| &**name)
    }

    /// The configured protocols with their numbers, `other` first.
    pub fn protocols(&self) -> &[(u32, Arc<str>)] {
        &self.protocols
    }

    /// Whether a slot is hidden until it counts something: connections outside the protocols' ports, which most parties
    /// never have, and those of one of several parties at an address.
    pub fn is_hidden_while_zero(&self, slot: u32) -> bool {
        let shared = self.has_parties && slot / self.stride == block::other(1);
        shared || slot.is_multiple_of(self.stride)
    }
}
