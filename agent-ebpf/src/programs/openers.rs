//! Parties that share an address, as on the host of a developer: who opens a connection comes from an ephemeral port, and
//! that does not say which of them it is. Its process does, where it listens on one of their ports. Both ends are on this
//! machine then: the one that opens is established first, and says whose it is before the other one asks.
//!
//! Asked where the address is shared only, so that nobody else has anything to look up.

use agent_ebpf::{Listener, Opener, endpoints, protocol};

use super::{
    classify::{Connection, endpoint, is_shared, protocol_of},
    iterator::Files,
    maps::{CONTROL, LISTENERS, OPENERS},
    socket::{TcpSock, process_of, tcp_state},
};

/// Whether any parties share an address: what is asked first, for in most configurations none do.
#[inline(always)]
fn any_shared() -> bool {
    CONTROL
        .get(0)
        .is_some_and(|control| control.endpoints == endpoints::SHARED)
}

/// A process listens from now on.
#[inline(always)]
pub(super) fn listens(sock: &TcpSock, process: u32) -> Option<()> {
    let port = sock.local_port();
    if !any_shared() || protocol_of(port) == protocol::OTHER {
        return None;
    }
    if let Some(listener) = LISTENERS.get_ptr_mut(process) {
        for index in 0..8 {
            // SAFETY: a map value, valid for the length of the program; the index is below the length.
            unsafe {
                let place = &raw mut (*listener).ports[index];
                let there = place.read_volatile();
                if there == 0 || there == port {
                    place.write_volatile(port);
                    return None;
                }
            }
        }
        return None;
    }
    let mut listener = Listener::default();
    listener.ports[0] = port;
    // Without room the connections that it opens are some party's at the address.
    let _ = LISTENERS.insert(process, listener, 0);
    Some(())
}

/// It does not any more, on that port.
#[inline(always)]
pub(super) fn listens_no_more(sock: &TcpSock, process: u32) -> Option<()> {
    let listener = LISTENERS.get_ptr_mut(process)?;
    let port = sock.source_port();
    let mut others = 0;
    for index in 0..8 {
        // SAFETY: a map value, valid for the length of the program; the index is below the length.
        unsafe {
            let place = &raw mut (*listener).ports[index];
            let there = place.read_volatile();
            if there == port {
                place.write_volatile(0);
            } else {
                others |= there;
            }
        }
    }
    if others == 0 {
        // SAFETY: nobody holds what is in it.
        let _ = LISTENERS.remove(process);
    }
    Some(())
}

/// Whether it may be a party that is known by the port that it listens on.
#[inline(always)]
pub(super) fn is_listener(process: u32) -> bool {
    if !any_shared() {
        return false;
    }
    let Some(listener) = LISTENERS.get_ptr(process) else {
        return false;
    };
    // Numbers and not pointers, which a compiler may put together as the verifier does not want it.
    let halves = listener.cast::<u64>();
    // SAFETY: a map value, valid for the length of the program, as long and as aligned as two of them.
    unsafe { halves.read_volatile() | halves.add(1).read_volatile() != 0 }
}

/// Says whose a connection is that a process has opened from an address that parties share.
#[inline(always)]
pub(super) fn publish(connection: &Connection, process: u32) {
    if let Some(block) = party_of(connection, process) {
        let key = key(connection, connection.local_port);
        // As above.
        let _ = OPENERS.insert(key, block, 0);
    }
}

/// The party whose port the process listens on; `None` where it is none's, or several are run in one process.
#[inline(always)]
fn party_of(connection: &Connection, process: u32) -> Option<u32> {
    // A number instead of an option: the verifier wants to know what is in the place of one that is none.
    const NOBODY: u32 = u32::MAX;
    let listener = LISTENERS.get_ptr_mut(process)?;
    let mut found = NOBODY;
    for index in 0..8 {
        // SAFETY: a map value, valid for the length of the program; the index is below the length.
        let port = unsafe { (&raw const (*listener).ports[index]).read_volatile() };
        if port == 0 {
            continue;
        }
        let block = endpoint(connection.local, port).unwrap_or(NOBODY);
        if block != NOBODY && found != NOBODY && found != block {
            return None;
        }
        if block != NOBODY {
            found = block;
        }
    }
    (found != NOBODY).then_some(found)
}

/// Whose a connection is that was accepted here.
#[inline(always)]
pub(super) fn whose(connection: &Connection) -> Option<u32> {
    let key = Opener {
        address: connection.remote,
        port: connection.remote_port,
        listening: connection.local_port,
    };
    // SAFETY: a word, which is there whole.
    unsafe { OPENERS.get(key).copied() }
}

/// A connection that was opened here has ended.
#[inline(always)]
pub(super) fn forget(sock: &TcpSock) {
    if any_shared()
        && let Some(connection) = Connection::of(sock, true)
        && is_shared(connection.local)
    {
        let key = key(&connection, sock.source_port());
        // It need not be there.
        let _ = OPENERS.remove(key);
    }
}

#[inline(always)]
fn key(connection: &Connection, local_port: u16) -> Opener {
    Opener {
        address: connection.local,
        port: local_port,
        listening: connection.remote_port,
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn openers(ctx: *mut Files) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_openers(ctx) };
    0
}

#[inline(always)]
unsafe fn try_openers(ctx: *mut Files) -> Option<()> {
    // SAFETY: the caller's.
    let (sock, task) = unsafe { (Files::sock(ctx)?, (*ctx).task) };
    if task.is_null() {
        return None;
    }
    let process = process_of(task);
    match sock.state() {
        tcp_state::LISTEN => listens(&sock, process),
        tcp_state::ESTABLISHED if sock.connected_out() && is_listener(process) => {
            let connection = Connection::of(&sock, true)?;
            if is_shared(connection.local) {
                publish(&connection, process);
            }
            Some(())
        }
        _ => None,
    }
}
