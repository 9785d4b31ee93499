//! `iter/task_file`: writes, for each process and each MPC connection that it holds, a [`Holder`].
//!
//! Relies on `bpf_seq_write` (5.8).

use agent_ebpf::Holder;

use super::{
    classify::Connection,
    iterator::{Files, write},
    maps::{account_of, is_closed},
    socket::process_of,
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn holders(ctx: *mut Files) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_holders(ctx) };
    0
}

#[inline(always)]
unsafe fn try_holders(ctx: *mut Files) -> Option<()> {
    // SAFETY: the caller's.
    let sock = unsafe { Files::sock(ctx) }?;
    // SAFETY: the caller's.
    let (meta, task) = unsafe { ((*ctx).meta, (*ctx).task) };
    if task.is_null() {
        return None;
    }
    // SAFETY: a full socket.
    let account = unsafe { account_of(sock.as_ptr()) }?;
    // SAFETY: a value of the socket storage.
    if unsafe { is_closed(account.as_ptr()) } {
        return None;
    }
    let connection = Connection::of(&sock, false)?;
    let mut holder = Holder {
        process: process_of(task),
        padding: 0,
        connection: agent_ebpf::Connection {
            address: connection.remote,
            remote_port: connection.remote_port,
            local_port: connection.local_port,
            // SAFETY: a value of the socket storage.
            slot: unsafe { (*account.as_ptr()).slot },
        },
    };
    // SAFETY: of this call's context.
    unsafe { write(meta, &mut holder) };
    Some(())
}
