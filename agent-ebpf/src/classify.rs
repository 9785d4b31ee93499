//! Whose a connection or a datagram is: the rules that lead from addresses, ports and direction to a slot, once for TCP
//! and UDP. The tables behind them are the kernel's maps, or in tests the host's.
#![expect(
    clippy::inline_always,
    reason = "a program is one function to the verifier, which keeps what it knows only there"
)]

use crate::{
    control::{Control, endpoints},
    tables::{Address, block, protocol},
};

/// What carries the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A connection, of which every byte belongs to one slot.
    Tcp,
    /// A datagram: nothing is established, so each one is classified by itself.
    Udp,
}

/// The addresses and ports of a connection or a datagram, seen from this node.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The other side's address.
    pub remote: Address,
    /// This side's.
    pub local: Address,
    /// The other side's port.
    pub remote_port: u16,
    /// This side's.
    pub local_port: u16,
    /// Whether this side opened the connection, or sent the datagram.
    pub initiator: bool,
}

/// Where the rules look up what the configuration says.
pub trait Tables {
    /// The state that both sides share.
    fn control(&self) -> Option<&Control>;
    /// The protocol of a port, [`protocol::OTHER`] for none.
    fn protocol(&self, transport: Transport, port: u16) -> u32;
    /// The block of the party at an endpoint.
    fn endpoint(&self, address: Address, port: u16) -> Option<u32>;
    /// The block of the longest prefix that an address is in.
    fn prefix(&self, address: Address) -> Option<u32>;
    /// The block of the party on this machine that opened a connection which was accepted here.
    fn local_initiator(&self, flow: &Flow) -> Option<u32>;
    /// The block of the automatic party of an address.
    fn auto_party(&self, address: Address, control: &Control) -> u32;
}

impl Flow {
    /// The slot that counts it, or `None` if it is not MPC. The rules come in the order of how much each knows.
    #[inline(always)]
    pub fn slot(&self, transport: Transport, tables: &impl Tables) -> Option<u32> {
        let at_remote = tables.protocol(transport, self.remote_port);
        let at_local = tables.protocol(transport, self.local_port);
        // The port that it goes to names the protocol, else the port that it comes from: so both ends agree.
        let (to, from) = if self.initiator {
            (at_remote, at_local)
        } else {
            (at_local, at_remote)
        };
        let protocol = if to == protocol::OTHER { from } else { to };
        // A party's connection counts on any port, a datagram only on a protocol's.
        if transport == Transport::Udp && protocol == protocol::OTHER {
            return None;
        }

        let control = tables.control()?;
        let exact = control.endpoints != endpoints::NONE;
        if exact && let Some(block) = tables.endpoint(self.remote, self.remote_port) {
            return Some(block + protocol);
        }
        if control.auto_limit == 0
            && let Some(block) = tables.prefix(self.remote)
        {
            return Some(block + protocol);
        }
        if transport == Transport::Tcp && to == protocol::OTHER {
            return None;
        }
        // Where it came to a protocol's port here, the party's own port is ephemeral.
        let came_here = match transport {
            Transport::Tcp => !self.initiator,
            Transport::Udp => at_local != protocol::OTHER,
        };
        if exact
            && came_here
            && let Some(block) = tables.endpoint(self.remote, 0)
        {
            let shared = block == block::other(control.stride);
            let initiator = if transport == Transport::Tcp && shared {
                tables.local_initiator(self)
            } else {
                None
            };
            return Some(initiator.unwrap_or(block) + protocol);
        }
        if self.is_to_itself() {
            return None;
        }
        if control.auto_limit != 0 {
            return Some(tables.auto_party(self.remote, control) + protocol);
        }
        if came_here {
            Some(block::UNKNOWN + protocol)
        } else {
            None
        }
    }

    /// Whether the host talks to itself. That is no party's, unless an endpoint says so.
    #[inline(always)]
    pub fn is_to_itself(&self) -> bool {
        const LOOPBACK_V4: u32 = u32::from_be_bytes([127, 0, 0, 0]);
        let [first, second, third, last] = self.remote;
        let v4 = first | second == 0 && third == u32::to_be(0xffff);
        let loopback_v4 = v4 && u32::from_be(last) & 0xff00_0000 == LOOPBACK_V4;
        let loopback_v6 = self.remote == [0, 0, 0, u32::to_be(1)];
        loopback_v4 || loopback_v6 || self.remote == self.local
    }
}

/// `::ffff:a.b.c.d` of an address in network order.
#[inline(always)]
pub fn v4_mapped(address: u32) -> Address {
    [0, 0, u32::to_be(0xffff), address]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Transport::*, *};

    const STRIDE: u32 = 3;
    const PORT: u16 = 5000;
    const EPHEMERAL: u16 = 40_000;
    const PARTY: u32 = block::first(STRIDE);
    const OTHER: u32 = block::other(STRIDE);

    #[derive(Default)]
    struct Host {
        control: Control,
        ports: HashMap<u16, u32>,
        endpoints: HashMap<(Address, u16), u32>,
        prefixes: HashMap<Address, u32>,
        local_initiators: HashMap<u16, u32>,
    }

    impl Tables for Host {
        fn control(&self) -> Option<&Control> {
            Some(&self.control)
        }
        fn protocol(&self, _: Transport, port: u16) -> u32 {
            self.ports.get(&port).copied().unwrap_or(protocol::OTHER)
        }
        fn endpoint(&self, address: Address, port: u16) -> Option<u32> {
            self.endpoints.get(&(address, port)).copied()
        }
        fn prefix(&self, address: Address) -> Option<u32> {
            self.prefixes.get(&address).copied()
        }
        fn local_initiator(&self, flow: &Flow) -> Option<u32> {
            self.local_initiators.get(&flow.remote_port).copied()
        }
        fn auto_party(&self, _: Address, control: &Control) -> u32 {
            block::first(control.stride)
        }
    }

    /// Two protocols, of which the first is on [`PORT`].
    fn host() -> Host {
        Host {
            control: Control {
                stride: STRIDE,
                ..Control::default()
            },
            ports: HashMap::from([(PORT, 1), (PORT + 1, 2)]),
            ..Host::default()
        }
    }

    fn address(last: u8) -> Address {
        v4_mapped(u32::from_ne_bytes([10, 0, 0, last]))
    }

    fn out(remote_port: u16) -> Flow {
        Flow {
            remote: address(2),
            local: address(1),
            remote_port,
            local_port: EPHEMERAL,
            initiator: true,
        }
    }

    fn came(local_port: u16) -> Flow {
        Flow {
            remote_port: EPHEMERAL,
            local_port,
            initiator: false,
            ..out(0)
        }
    }

    #[test]
    fn a_party_known_by_its_address_counts_on_every_tcp_port_and_on_a_protocols_udp_port() {
        let mut host = host();
        host.prefixes.insert(address(2), PARTY);
        for flow in [out(PORT), came(PORT)] {
            assert_eq!(flow.slot(Tcp, &host), Some(PARTY + 1));
            assert_eq!(flow.slot(Udp, &host), Some(PARTY + 1));
        }
        for flow in [out(22), came(22)] {
            assert_eq!(flow.slot(Tcp, &host), Some(PARTY), "protocol=\"other\"");
            assert_eq!(flow.slot(Udp, &host), None);
        }
    }

    #[test]
    fn the_port_that_it_goes_to_names_the_protocol_before_the_port_that_it_comes_from() {
        let mut host = host();
        host.prefixes.insert(address(2), PARTY);
        let both = Flow {
            local_port: PORT + 1,
            ..out(PORT)
        };
        let answered = Flow {
            initiator: false,
            ..both
        };
        let source_only = Flow {
            local_port: PORT + 1,
            ..out(22)
        };
        for transport in [Tcp, Udp] {
            assert_eq!(both.slot(transport, &host), Some(PARTY + 1));
            assert_eq!(answered.slot(transport, &host), Some(PARTY + 2));
            assert_eq!(source_only.slot(transport, &host), Some(PARTY + 2));
        }
    }

    #[test]
    fn an_unexpected_peer_is_unknown_where_it_comes_to_a_protocols_port_and_nobody_elsewhere() {
        let host = host();
        assert_eq!(came(PORT).slot(Tcp, &host), Some(block::UNKNOWN + 1));
        assert_eq!(came(PORT).slot(Udp, &host), Some(block::UNKNOWN + 1));
        assert_eq!(came(22).slot(Tcp, &host), None);
        assert_eq!(came(22).slot(Udp, &host), None);
        assert_eq!(out(PORT).slot(Tcp, &host), None);
        assert_eq!(out(PORT).slot(Udp, &host), None);
        let answer = Flow {
            local_port: PORT,
            ..out(EPHEMERAL)
        };
        assert_eq!(answer.slot(Tcp, &host), None, "opened from that port");
        assert_eq!(answer.slot(Udp, &host), Some(block::UNKNOWN + 1));
    }

    #[test]
    fn an_endpoint_comes_before_a_prefix_and_its_address_counts_only_for_what_came_here() {
        let mut host = host();
        host.control.endpoints = endpoints::EXACT;
        let exact = PARTY + STRIDE;
        host.endpoints.insert((address(2), PORT), exact);
        host.endpoints.insert((address(2), 0), exact);
        for transport in [Tcp, Udp] {
            assert_eq!(out(PORT).slot(transport, &host), Some(exact + 1));
            assert_eq!(came(PORT).slot(transport, &host), Some(exact + 1));
            assert_eq!(out(PORT + 1).slot(transport, &host), None);
        }
        host.prefixes.insert(address(2), PARTY);
        assert_eq!(out(PORT).slot(Tcp, &host), Some(exact + 1));
        assert_eq!(out(PORT + 1).slot(Tcp, &host), Some(PARTY + 2));
        assert_eq!(came(PORT).slot(Tcp, &host), Some(PARTY + 1));
        host.control.endpoints = endpoints::NONE;
        assert_eq!(out(PORT).slot(Tcp, &host), Some(PARTY + 1), "not looked up");
        host.prefixes.clear();
        assert_eq!(came(PORT).slot(Tcp, &host), Some(block::UNKNOWN + 1));
    }

    #[test]
    fn a_local_initiator_tells_parties_at_one_address_apart() {
        let mut host = host();
        host.control.endpoints = endpoints::SHARED;
        host.endpoints.insert((address(2), 0), OTHER);
        assert_eq!(came(PORT).slot(Tcp, &host), Some(OTHER + 1));
        host.local_initiators.insert(EPHEMERAL, PARTY);
        assert_eq!(came(PORT).slot(Tcp, &host), Some(PARTY + 1));
        assert_eq!(came(PORT).slot(Udp, &host), Some(OTHER + 1));
    }

    #[test]
    fn without_parties_every_address_is_an_automatic_one_but_the_hosts_own() {
        let mut host = host();
        host.control.auto_limit = 8;
        host.prefixes.insert(address(2), PARTY + STRIDE);
        for transport in [Tcp, Udp] {
            assert_eq!(out(PORT).slot(transport, &host), Some(PARTY + 1));
            assert_eq!(came(PORT).slot(transport, &host), Some(PARTY + 1));
            assert_eq!(out(22).slot(transport, &host), None);
            let itself = Flow {
                remote: address(1),
                ..out(PORT)
            };
            assert_eq!(itself.slot(transport, &host), None);
        }
    }

    #[test]
    fn a_host_talks_to_itself_over_loopback_and_over_its_own_address() {
        let to = |remote| Flow {
            remote,
            ..out(PORT)
        };
        let loopback = v4_mapped(u32::from_ne_bytes([127, 8, 0, 1]));
        assert!(to(loopback).is_to_itself());
        assert!(to([0, 0, 0, u32::to_be(1)]).is_to_itself());
        assert!(to(address(1)).is_to_itself());
        assert!(!to(address(2)).is_to_itself());
        assert!(!to([1, 0, 0, u32::to_be(1)]).is_to_itself());
        assert!(!to([0, 0, 0, loopback[3]]).is_to_itself(), "not v4-mapped");
    }
}
