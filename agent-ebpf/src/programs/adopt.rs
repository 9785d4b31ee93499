//! `iter/task_file`: gives accounts to the MPC connections of every process that are older than the agent,
//! in whatever network namespace, counted from now on.
//!
//! Relies on: `bpf_iter__task_file` { meta, task, fd, file } (`kernel/bpf/task_iter.c`, 5.8), which walks the
//! processes of the agent's own PID namespace; `bpf_sock_from_file` (5.11). Does not see a connection that
//! no process holds open: closed and still sending, or not yet accepted.

use aya_ebpf::helpers::generated::bpf_sock_from_file;
use core::ffi::c_void;

use super::{
    account,
    classify::Connection,
    iterator::Meta,
    maps::{account_of, open_account},
    socket::{TcpSock, tcp_state},
};

/// `struct bpf_iter__task_file`; `fd` is a `u32` in an aligned 64-bit place.
#[repr(C)]
pub(super) struct Context {
    pub(super) meta: *mut Meta,
    pub(super) task: *mut c_void,
    fd: u64,
    pub(super) file: *mut c_void,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn adopt(ctx: *mut Context) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_adopt(ctx) };
    0
}

#[inline(always)]
unsafe fn try_adopt(ctx: *mut Context) -> Option<()> {
    // SAFETY: the caller's. Null in the call that ends the walk.
    let file = unsafe { (*ctx).file };
    if file.is_null() {
        return None;
    }
    // SAFETY: `file` is a `struct file` that the iterator holds.
    let sock = TcpSock::from_socket(unsafe { bpf_sock_from_file(file.cast()) }.cast())?;
    if !established(sock.state()) {
        return None;
    }
    // SAFETY: a full socket.
    if unsafe { account_of(sock.as_ptr()) }.is_some() {
        return None;
    }
    let initiator = sock.connected_out();
    let connection = Connection::of(&sock, initiator)?;
    let mut adopted = account::adopted(connection.slot()?, &sock);
    adopted.initiator = u32::from(initiator);
    // SAFETY: as above.
    unsafe { open_account(sock.as_ptr(), &mut adopted) }?;
    Some(())
}

/// States in which payload may still move; those before are claimed when they get there.
#[inline(always)]
fn established(state: u8) -> bool {
    use tcp_state::{CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK};
    matches!(
        state,
        ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT | LAST_ACK | CLOSING
    )
}
