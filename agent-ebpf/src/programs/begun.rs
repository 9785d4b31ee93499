//! Connections that are begun here and not established yet: who begins them, where that matters, and those that fail. Told
//! by `socket_events` where it sees every socket, else by `set_state`.

use agent_ebpf::Begun;
use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use core::ffi::c_void;

use super::{
    account::add,
    classify::Connection,
    maps::{COUNTERS, PROCESSES, counts, drop_account, forget_begun, note_begun},
    openers,
    socket::{TcpSock, process_of},
};

/// The process that calls. Only where it is one, which is where something begins or listens.
#[inline(always)]
pub(super) fn this_process() -> u32 {
    // SAFETY: it has no conditions; there always is a task.
    process_of(unsafe { bpf_get_current_task_btf() }.cast())
}

/// A connection that a process begins. Notes which one it was where it has MPC connections and the address is no party's
/// and not allowed, and where it may be one of several parties at its address.
#[inline(always)]
pub(super) fn begins(sock: *mut c_void) -> Option<()> {
    // Of what the socket was connected to before, if it was.
    // SAFETY: a full socket.
    unsafe { drop_account(sock) };
    let process = this_process();
    // SAFETY: a word, which is there whole.
    let watched = unsafe { PROCESSES.get(process).copied() }.unwrap_or(0) != 0;
    let listener = openers::is_listener(process);
    if !watched && !listener {
        return None;
    }
    let tcp = TcpSock::from_sock(sock)?;
    let connection = Connection::of(&tcp, true)?;
    let strange = watched && connection.slot().is_none() && !connection.is_allowed();
    // SAFETY: a full socket.
    unsafe {
        if strange || listener {
            let strange = u32::from(strange);
            note_begun(tcp.as_ptr(), &mut Begun { process, strange });
        } else {
            forget_begun(tcp.as_ptr());
        }
    }
    Some(())
}

/// A connection of ours that was not established.
#[inline(always)]
pub(super) fn fails(sock: &TcpSock) -> Option<()> {
    let slot = Connection::of(sock, true)?.slot()?;
    if !counts() {
        return None;
    }
    let counters = COUNTERS.get_ptr_mut(slot)?;
    // SAFETY: a map value, valid for the length of the program.
    unsafe { add(&raw mut (*counters).totals.failures, 1) };
    Some(())
}
