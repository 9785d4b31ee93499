//! `iter/task_file`: writes, for each process and each MPC connection that it holds, a [`Holder`].
//!
//! Relies on what `adopt` relies on; and `bpf_seq_write` (5.8).

use agent_ebpf::Holder;
use aya_ebpf::helpers::generated::bpf_sock_from_file;

use super::{
    adopt::Context,
    classify::Connection,
    iterator::write,
    maps::account_of,
    socket::{TcpSock, process_of},
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn holders(ctx: *mut Context) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_holders(ctx) };
    0
}

#[inline(always)]
unsafe fn try_holders(ctx: *mut Context) -> Option<()> {
    // SAFETY: the caller's. Null in the call that ends the walk.
    let (meta, task, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).file) };
    if file.is_null() || task.is_null() {
        return None;
    }
    // SAFETY: `file` is a `struct file` that the iterator holds.
    let sock = TcpSock::from_socket(unsafe { bpf_sock_from_file(file.cast()) }.cast())?;
    // SAFETY: a full socket.
    let account = unsafe { account_of(sock.as_ptr()) }?;
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
