//! The kernel side's tables for a configuration. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use agent_ebpf::{Address, Endpoint, block, endpoints};
use ipnet::IpNet;

use super::{address::mapped, layout::Layout};
use crate::config::{Config, Host, Transport};

/// The addresses of each configured host name.
pub type Resolved = BTreeMap<String, Vec<IpAddr>>;

/// The entries of the kernel side's tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// TCP port and protocol.
    pub ports: Vec<(u16, u32)>,
    /// UDP port and protocol.
    pub udp_ports: Vec<(u16, u32)>,
    /// Prefix (address, bits of 128) and block.
    pub prefixes: Vec<((Address, u32), u32)>,
    /// Prefixes that MPC programs may connect to beside their parties. The value is 1.
    pub allowed: Vec<((Address, u32), u32)>,
    /// Endpoint and block.
    pub endpoints: Vec<(Endpoint, u32)>,
    /// Whether parties are identified by port, a value of [`agent_ebpf::endpoints`].
    pub exactness: u32,
    /// Length of a block.
    pub stride: u32,
    /// How many slots there are.
    pub slots: u32,
    /// The number of the first automatic party; smaller ones are configured parties.
    pub first_auto: u32,
    /// Automatic parties have smaller numbers than this; 0: there are none.
    pub auto_limit: u32,
}

impl Tables {
    /// For a configuration, its resolved host names, and a layout that includes it.
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
            first_auto: layout.party_capacity,
            auto_limit: if config.parties.is_empty() {
                layout.party_capacity + config.network.max_auto_parties.min(layout.auto_capacity)
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
        // An ephemeral port does not identify the party. The address does, or says that several share it.
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
