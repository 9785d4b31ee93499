//! Parties that share an address, as on a developer's machine. A connection comes from an ephemeral port, which does not
//! say which of them opened it. Its process does, where it listens on the port of one. Both ends are on this machine
//! then: the end that opens is established first, and says whose it is before the other end asks.
//!
//! Looked up only where parties share an address, so that it costs nobody else anything.

use agent_ebpf::{Listener, LocalInitiator, classify::Flow, protocol};

use crate::programs::{
    atomic::{MapValue, Word, word},
    classify::{endpoint, flow, is_shared, protocol_of},
    control::any_shared_address,
    maps::{LISTENERS, LOCAL_INITIATORS},
    socket::TcpSock,
};

#[inline(always)]
fn listener(process: u32) -> Option<MapValue<Listener>> {
    // SAFETY: the map's value.
    unsafe { MapValue::new(LISTENERS.get_ptr_mut(process)?) }
}

/// A process listens from now on.
#[inline(always)]
pub(super) fn listens(sock: &TcpSock, process: u32) -> Option<()> {
    let port = sock.local_port();
    if !any_shared_address() || protocol_of(port) == protocol::OTHER {
        return None;
    }
    if let Some(listener) = listener(process) {
        for index in 0..8 {
            let place = word!(listener, ports[index]);
            let there = place.get();
            if there == 0 || there == port {
                place.set(port);
                return None;
            }
        }
        return None;
    }
    let mut listener = Listener::default();
    listener.ports[0] = port;
    // Without room the connections that it opens belong to some party at the address.
    let _ = LISTENERS.insert(process, listener, 0);
    Some(())
}

/// A process no longer listens on the port of a socket.
#[inline(always)]
pub(super) fn stops_listening(sock: &TcpSock, process: u32) -> Option<()> {
    let listener = listener(process)?;
    let port = sock.source_port();
    let mut others = 0;
    for index in 0..8 {
        let place = word!(listener, ports[index]);
        let there = place.get();
        if there == port {
            place.set(0);
        } else {
            others |= there;
        }
    }
    if others == 0 {
        // SAFETY: no reference into the value is kept.
        let _ = LISTENERS.remove(process);
    }
    Some(())
}

/// Whether a process may be a party that is known by the port that it listens on.
#[inline(always)]
pub(super) fn is_listener(process: u32) -> bool {
    if !any_shared_address() {
        return false;
    }
    let Some(listener) = listener(process) else {
        return false;
    };
    // Numbers and not pointers, which a compiler may put together as the verifier does not want it.
    let halves = listener.as_ptr().cast::<u64>();
    // SAFETY: a map's value, as long and as aligned as two of them.
    let [first, second] = unsafe { [Word::new(halves), Word::new(halves.add(1))] };
    first.get() | second.get() != 0
}

/// Says whose a connection is that a process has opened from an address that parties share.
#[inline(always)]
pub(super) fn publish(flow: &Flow, process: u32) {
    if let Some(block) = party_of(flow, process) {
        let key = key(flow, flow.local_port);
        // Without room the connection belongs to some party at the address.
        let _ = LOCAL_INITIATORS.insert(key, block, 0);
    }
}

/// The party on whose port the process listens; `None` where it is none's, or one process runs several.
#[inline(always)]
fn party_of(flow: &Flow, process: u32) -> Option<u32> {
    // A number instead of an option: the verifier wants to know what is in the place of one that is none.
    const NOBODY: u32 = u32::MAX;
    let listener = listener(process)?;
    let mut found = NOBODY;
    for index in 0..8 {
        let port = word!(listener, ports[index]).get();
        if port == 0 {
            continue;
        }
        let block = endpoint(flow.local, port).unwrap_or(NOBODY);
        if block != NOBODY && found != NOBODY && found != block {
            return None;
        }
        if block != NOBODY {
            found = block;
        }
    }
    (found != NOBODY).then_some(found)
}

/// Forgets a connection that was opened here and has ended.
#[inline(always)]
pub(super) fn forget(sock: &TcpSock) {
    if any_shared_address()
        && let Some(flow) = flow(sock, true)
        && is_shared(flow.local)
    {
        let key = key(&flow, sock.source_port());
        // It need not be there.
        let _ = LOCAL_INITIATORS.remove(key);
    }
}

#[inline(always)]
fn key(flow: &Flow, local_port: u16) -> LocalInitiator {
    LocalInitiator {
        address: flow.local,
        port: local_port,
        listening: flow.remote_port,
    }
}
