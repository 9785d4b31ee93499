//! Whose a socket is: from its addresses, its ports and which side opened it, to a slot.

use agent_ebpf::{Address, Control, Drop, Endpoint, block, endpoints, protocol};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{LpmTrie, lpm_trie::Key},
};

use super::{
    maps::{
        ALLOWED, AUTO_PARTIES, CONTROL, ENDPOINTS, PORTS, PREFIXES, UDP_PORTS, count_drop,
        take_number,
    },
    openers,
    socket::TcpSock,
};

/// One end-to-end connection, seen from this node.
pub(super) struct Connection {
    pub(super) remote: Address,
    pub(super) local: Address,
    pub(super) remote_port: u16,
    pub(super) local_port: u16,
    /// Whether this side opened it: then the remote port is one that a party listens on, else the local one.
    pub(super) initiator: bool,
}

impl Connection {
    /// Of a socket that has both its addresses; `None` for a family that is neither IPv4 nor IPv6.
    #[inline(always)]
    pub(super) fn of(sock: &TcpSock, initiator: bool) -> Option<Self> {
        let (remote, local) = sock.addresses()?;
        let (remote_port, local_port) = (sock.remote_port(), sock.local_port());
        Some(Self {
            remote,
            local,
            remote_port,
            local_port,
            initiator,
        })
    }

    /// The slot that counts it, or `None` for a socket that is not MPC.
    #[inline(always)]
    pub(super) fn slot(&self) -> Option<u32> {
        self.slot_by(auto_party)
    }

    /// Whether it has a slot, without that an automatic party is made for it.
    #[inline(always)]
    pub(super) fn is_mpc(&self) -> bool {
        self.slot_by(|_, control| block::other(control.stride))
            .is_some()
    }

    /// The rules in the order of how much each knows; `auto_party` gives the block of an automatic party.
    #[inline(always)]
    fn slot_by(&self, auto_party: impl FnOnce(Address, &Control) -> u32) -> Option<u32> {
        let control = CONTROL.get(0)?;
        let at_remote = protocol_of(self.remote_port);
        let at_local = protocol_of(self.local_port);
        let (listening, opposite) = if self.initiator {
            (at_remote, at_local)
        } else {
            (at_local, at_remote)
        };
        let protocol = if listening == protocol::OTHER {
            opposite
        } else {
            listening
        };

        let exact = control.endpoints != endpoints::NONE;
        if exact && let Some(block) = endpoint(self.remote, self.remote_port) {
            return Some(block + protocol);
        }
        if control.auto_limit == 0
            && let Some(block) = longest(&PREFIXES, self.remote)
        {
            return Some(block + protocol);
        }
        if listening == protocol::OTHER {
            return None;
        }
        // Somebody came to a port that a protocol listens on: there the party's own port is ephemeral.
        if exact
            && !self.initiator
            && let Some(block) = endpoint(self.remote, 0)
        {
            let other = block::other(control.stride);
            let opener = if block == other {
                openers::whose(self)
            } else {
                None
            };
            return Some(opener.unwrap_or(block) + listening);
        }
        if self.to_itself() {
            return None;
        }
        if control.auto_limit != 0 {
            return Some(auto_party(self.remote, control) + listening);
        }
        if self.initiator {
            None
        } else {
            Some(block::UNKNOWN + listening)
        }
    }

    /// The slot that counts a datagram, or `None` for one that is not MPC; `initiator` says that it is sent. The port
    /// that it goes to names its protocol, else the one that it comes from: so sender and receiver agree. There is no
    /// establishment: whoever comes to a protocol's port here, or is answered from it, is unexpected if no party.
    #[inline(always)]
    pub(super) fn datagram_slot(&self) -> Option<u32> {
        let at_remote = udp_protocol_of(self.remote_port);
        let at_local = udp_protocol_of(self.local_port);
        let (to, from) = if self.initiator {
            (at_remote, at_local)
        } else {
            (at_local, at_remote)
        };
        let protocol = if to == protocol::OTHER { from } else { to };
        if protocol == protocol::OTHER {
            return None;
        }
        let control = CONTROL.get(0)?;
        let exact = control.endpoints != endpoints::NONE;
        if exact && let Some(block) = endpoint(self.remote, self.remote_port) {
            return Some(block + protocol);
        }
        if control.auto_limit == 0
            && let Some(block) = longest(&PREFIXES, self.remote)
        {
            return Some(block + protocol);
        }
        let listens = at_local != protocol::OTHER;
        if exact
            && listens
            && let Some(block) = endpoint(self.remote, 0)
        {
            return Some(block + protocol);
        }
        if self.to_itself() {
            return None;
        }
        if control.auto_limit != 0 {
            return Some(auto_party(self.remote, control) + protocol);
        }
        listens.then_some(block::UNKNOWN + protocol)
    }

    /// Whether an MPC program may have it although it is no party's.
    #[inline(always)]
    pub(super) fn is_allowed(&self) -> bool {
        self.to_itself() || longest(&ALLOWED, self.remote).is_some()
    }

    /// The slot of a connection that an MPC program has begun with a stranger.
    #[inline(always)]
    pub(super) fn strange_slot(&self) -> u32 {
        block::UNKNOWN + protocol_of(self.remote_port)
    }

    /// A program's connection to its own host is no party's, unless an endpoint says so.
    #[inline(always)]
    fn to_itself(&self) -> bool {
        const LOOPBACK_V4: u32 = u32::from_be_bytes([127, 0, 0, 0]);
        let [first, second, third, last] = self.remote;
        let v4 = first | second == 0 && third == u32::to_be(0xffff);
        let loopback_v4 = v4 && u32::from_be(last) & 0xff00_0000 == LOOPBACK_V4;
        let loopback_v6 = self.remote == [0, 0, 0, u32::to_be(1)];
        loopback_v4 || loopback_v6 || self.remote == self.local
    }
}

/// Whether a slot counts those whose address is no party's: the first block is `block::UNKNOWN`.
#[inline(always)]
pub(super) fn is_unknown(slot: u32) -> bool {
    CONTROL.get(0).is_some_and(|control| slot < control.stride)
}

/// Whether several parties share an address, each known by its ports.
#[inline(always)]
pub(super) fn is_shared(address: Address) -> bool {
    let Some(control) = CONTROL.get(0) else {
        return false;
    };
    control.endpoints == endpoints::SHARED
        && endpoint(address, 0) == Some(block::other(control.stride))
}

#[inline(always)]
pub(super) fn protocol_of(port: u16) -> u32 {
    PORTS
        .get(u32::from(port))
        .copied()
        .unwrap_or(protocol::OTHER)
}

#[inline(always)]
fn udp_protocol_of(port: u16) -> u32 {
    UDP_PORTS
        .get(u32::from(port))
        .copied()
        .unwrap_or(protocol::OTHER)
}

#[inline(always)]
pub(super) fn endpoint(address: Address, port: u16) -> Option<u32> {
    // SAFETY: entries are only ever replaced whole or removed, and a block read late is still a block.
    unsafe {
        ENDPOINTS
            .get(Endpoint {
                address,
                port,
                padding: 0,
            })
            .copied()
    }
}

#[inline(always)]
fn longest<const N: usize>(prefixes: &LpmTrie<Address, u32, N>, address: Address) -> Option<u32> {
    /// [`Key`], whose fields are packed and would be moved byte by byte.
    #[repr(C)]
    struct Aligned {
        bits: u32,
        address: Address,
    }
    let key = Aligned { bits: 128, address };
    // SAFETY: the same layout, and a stricter alignment.
    prefixes
        .get(unsafe { &*(&raw const key).cast::<Key<Address>>() })
        .copied()
}

/// The block of an address's automatic party, made on first sight while there is room.
#[inline(always)]
fn auto_party(address: Address, control: &Control) -> u32 {
    // SAFETY: entries are never removed or replaced.
    if let Some(&block) = unsafe { AUTO_PARTIES.get(address) } {
        return block;
    }
    // Two first connections of one address may each take a number: one of the two stays unused.
    if let Some(number) = take_auto_number(control.auto_limit) {
        let block = block::first(control.stride) + number * control.stride;
        if AUTO_PARTIES
            .insert(address, block, u64::from(BPF_NOEXIST))
            .is_ok()
        {
            return block;
        }
        // SAFETY: as above.
        if let Some(&block) = unsafe { AUTO_PARTIES.get(address) } {
            return block;
        }
    }
    count_drop(Drop::AutoParties);
    block::other(control.stride)
}

/// The next automatic party's number, if it is below `limit`.
#[inline(always)]
fn take_auto_number(limit: u32) -> Option<u32> {
    let control = CONTROL.get_ptr_mut(0)?;
    // SAFETY: the array's element, valid for the length of the program.
    unsafe { take_number(&raw mut (*control).auto_parties, limit) }
}
