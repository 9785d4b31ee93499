//! Whose a socket is: from its addresses, its ports and which side opened it, to a slot.

use agent_ebpf::{Address, Drop, Endpoint, SLOT_CAPACITY, SlotKey, party, protocol};
use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::lpm_trie::Key};
use core::intrinsics::{AtomicOrdering, atomic_xadd};

use super::{
    maps::{AUTO_PARTIES, CONTROL, ENDPOINTS, PORTS, PREFIXES, SLOTS, count_drop},
    socket::TcpSock,
};

/// One end-to-end connection, seen from this node.
pub(super) struct Connection {
    remote: Address,
    local: Address,
    pub(super) remote_port: u16,
    pub(super) local_port: u16,
    /// Whether this side opened it: then the remote port is one that a party listens on, else the local one.
    initiator: bool,
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
        let (party, protocol) = self.owner()?;
        slot(SlotKey { party, protocol }).or_else(|| {
            count_drop(Drop::Slots);
            slot_of(&SlotKey {
                party: party::OTHER,
                protocol,
            })
        })
    }

    /// (party, protocol), in the order of how much each rule knows.
    #[inline(always)]
    fn owner(&self) -> Option<(u32, u32)> {
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

        if let Some(party) = party_at(self.remote, self.remote_port).or_else(|| prefix(self.remote))
        {
            return Some((party, protocol));
        }
        // Ours to serve: somebody came to a port that a protocol listens on.
        let accepted = !self.initiator && listening != protocol::OTHER;
        if accepted && let Some(party) = party_at(self.remote, 0) {
            return Some((party, listening));
        }
        if listening == protocol::OTHER || self.to_itself() {
            return None;
        }
        match auto_limit() {
            0 if accepted => Some((party::UNKNOWN, listening)),
            0 => None,
            limit => Some((auto_party(self.remote, limit), listening)),
        }
    }

    /// A program's connection to its own host is no party's, unless an endpoint says so.
    #[inline(always)]
    fn to_itself(&self) -> bool {
        let loopback_v4 = self.remote[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
            && self.remote[12] == 127;
        loopback_v4
            || self.remote == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
            || self.remote == self.local
    }
}

#[inline(always)]
fn protocol_of(port: u16) -> u32 {
    PORTS
        .get(u32::from(port))
        .copied()
        .unwrap_or(protocol::OTHER)
}

#[inline(always)]
fn party_at(address: Address, port: u16) -> Option<u32> {
    // SAFETY: entries are only ever replaced whole, and an index read late is still an index.
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
fn prefix(address: Address) -> Option<u32> {
    PREFIXES.get(&Key::new(128, address)).copied()
}

#[inline(always)]
fn auto_limit() -> u32 {
    CONTROL.get(0).map_or(0, |control| control.auto_limit)
}

/// The automatic party of an address, made on first sight while there is room.
#[inline(always)]
fn auto_party(address: Address, limit: u32) -> u32 {
    // SAFETY: entries are never removed or replaced.
    if let Some(&party) = unsafe { AUTO_PARTIES.get(address) } {
        return party;
    }
    let Some(control) = CONTROL.get_ptr_mut(0) else {
        return party::OTHER;
    };
    // Two first connections of one address may each take a number: one of the two stays unused.
    if let Some(number) = take(control, limit) {
        let party = party::FIRST_AUTO + number;
        if AUTO_PARTIES
            .insert(address, party, u64::from(BPF_NOEXIST))
            .is_ok()
        {
            return party;
        }
        // SAFETY: as above.
        if let Some(&party) = unsafe { AUTO_PARTIES.get(address) } {
            return party;
        }
    }
    count_drop(Drop::AutoParties);
    party::OTHER
}

/// Takes the next automatic party's number if it is below `limit`.
#[inline(always)]
fn take(control: *mut agent_ebpf::Control, limit: u32) -> Option<u32> {
    // SAFETY: `control` is the array's element, valid for the length of the program.
    let (given, place) = unsafe { ((*control).auto_parties, &raw mut (*control).auto_parties) };
    if given >= limit {
        return None;
    }
    // SAFETY: as above.
    let number = unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(place, 1) };
    (number < limit).then_some(number)
}

#[inline(always)]
fn slot_of(key: &SlotKey) -> Option<u32> {
    // SAFETY: entries are never removed or replaced.
    unsafe { SLOTS.get(key).copied() }
}

/// The slot of a pair. User space has made those of every configured pair; the rest is made here.
#[inline(always)]
fn slot(key: SlotKey) -> Option<u32> {
    if let Some(slot) = slot_of(&key) {
        return Some(slot);
    }
    let control = CONTROL.get_ptr_mut(0)?;
    // SAFETY: the array's element, valid for the length of the program.
    let (next, place) = unsafe { ((*control).next_slot, &raw mut (*control).next_slot) };
    if next >= SLOT_CAPACITY {
        return None;
    }
    // SAFETY: as above.
    let number = unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(place, 1) };
    if number >= SLOT_CAPACITY {
        return None;
    }
    if SLOTS.insert(key, number, u64::from(BPF_NOEXIST)).is_ok() {
        return Some(number);
    }
    slot_of(&key)
}
