//! The kernel's side of [`agent_ebpf::classify`]: its tables are the maps.

use agent_ebpf::{
    Address, Control, DropReason, Endpoint, LocalInitiator, block,
    classify::{Flow, Tables, Transport},
    endpoints, protocol,
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{LpmTrie, lpm_trie::Key},
};

use crate::programs::{
    atomic::word,
    control::{control, count_drop},
    maps::{
        ALLOWED, AUTO_PARTIES, CONTROL, ENDPOINTS, LOCAL_INITIATORS, PORTS, PREFIXES, UDP_PORTS,
    },
    socket::TcpSock,
};

/// The maps. `CREATE`: an automatic party is made on first sight.
struct Maps<const CREATE: bool>;

impl<const CREATE: bool> Tables for Maps<CREATE> {
    #[inline(always)]
    fn control(&self) -> Option<&Control> {
        CONTROL.get(0)
    }

    #[inline(always)]
    fn protocol(&self, transport: Transport, port: u16) -> u32 {
        let protocol = match transport {
            Transport::Tcp => PORTS.get(u32::from(port)),
            Transport::Udp => UDP_PORTS.get(u32::from(port)),
        };
        protocol.copied().unwrap_or(protocol::OTHER)
    }

    #[inline(always)]
    fn endpoint(&self, address: Address, port: u16) -> Option<u32> {
        endpoint(address, port)
    }

    #[inline(always)]
    fn prefix(&self, address: Address) -> Option<u32> {
        longest(&PREFIXES, address)
    }

    #[inline(always)]
    fn local_initiator(&self, flow: &Flow) -> Option<u32> {
        let key = LocalInitiator {
            address: flow.remote,
            port: flow.remote_port,
            listening: flow.local_port,
        };
        // SAFETY: a word, which is read whole.
        unsafe { LOCAL_INITIATORS.get(key).copied() }
    }

    #[inline(always)]
    fn auto_party(&self, address: Address, control: &Control) -> u32 {
        if CREATE {
            auto_party(address, control)
        } else {
            block::other(control.stride)
        }
    }
}

/// The flow of a socket that has both its addresses; `None` for a family that is neither IPv4 nor IPv6.
#[inline(always)]
pub(super) fn flow(sock: &TcpSock, initiator: bool) -> Option<Flow> {
    let (remote, local) = sock.addresses()?;
    let (remote_port, local_port) = (sock.remote_port(), sock.local_port());
    Some(Flow {
        remote,
        local,
        remote_port,
        local_port,
        initiator,
    })
}

/// The slot of a connection, or `None` for one that is not MPC.
#[inline(always)]
pub(super) fn slot(flow: &Flow) -> Option<u32> {
    flow.slot(Transport::Tcp, &Maps::<true>)
}

/// Whether a connection has a slot; makes no automatic party for it.
#[inline(always)]
pub(super) fn is_mpc(flow: &Flow) -> bool {
    flow.slot(Transport::Tcp, &Maps::<false>).is_some()
}

/// The slot of a datagram, or `None` for one that is not MPC.
#[inline(always)]
pub(super) fn datagram_slot(flow: &Flow) -> Option<u32> {
    flow.slot(Transport::Udp, &Maps::<true>)
}

/// Whether an MPC program may connect there although the address belongs to no party.
#[inline(always)]
pub(super) fn is_allowed(flow: &Flow) -> bool {
    flow.is_to_itself() || longest(&ALLOWED, flow.remote).is_some()
}

/// The slot of a connection that an MPC program opens to an unexpected peer.
#[inline(always)]
pub(super) fn unexpected_slot(flow: &Flow) -> u32 {
    block::UNKNOWN + protocol_of(flow.remote_port)
}

/// The protocol of a TCP port.
#[inline(always)]
pub(super) fn protocol_of(port: u16) -> u32 {
    Maps::<true>.protocol(Transport::Tcp, port)
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

/// The block of the party at an endpoint.
#[inline(always)]
pub(super) fn endpoint(address: Address, port: u16) -> Option<u32> {
    let key = Endpoint {
        address,
        port,
        padding: 0,
    };
    // SAFETY: entries are only ever replaced whole or removed, and a block read late is still a block.
    unsafe { ENDPOINTS.get(key).copied() }
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
fn auto_party(address: Address, limits: &Control) -> u32 {
    // SAFETY: entries are never removed or replaced.
    if let Some(&block) = unsafe { AUTO_PARTIES.get(address) } {
        return block;
    }
    // Two first connections of one address may each take a number: one of the two stays unused.
    let number =
        control().and_then(|control| word!(control, auto_parties).take_number(limits.auto_limit));
    if let Some(number) = number {
        let block = block::first(limits.stride) + number * limits.stride;
        if AUTO_PARTIES
            .insert(address, block, u64::from(BPF_NOEXIST))
            .is_ok()
        {
            return block;
        }
        // SAFETY: entries are never removed or replaced.
        if let Some(&block) = unsafe { AUTO_PARTIES.get(address) } {
            return block;
        }
    }
    count_drop(DropReason::AutoParties);
    block::other(limits.stride)
}
