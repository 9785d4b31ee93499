//! `iter/task_file`: goes through the open files of every process, in whatever network namespace; see `walk`.
//!
//! Relies on `bpf_sock_from_file` (5.11) and `bpf_seq_write` (5.8).

use agent_ebpf::{OPEN, SocketOwner, tcp::state};

use crate::programs::{
    atomic::word,
    classify::{flow, is_shared},
    lifecycle,
    local_initiators::{is_listener, listens, publish},
    records::{connection, record},
    storage::is_closed,
    walk::{self, Files},
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn adopt(ctx: &Files) -> i32 {
    let _ = ctx.sock().and_then(|sock| lifecycle::adopt(&sock));
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn settle_by_file(ctx: &Files) -> i32 {
    let _ = ctx.position().and_then(walk::settle);
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn reclassify_by_file(ctx: &Files) -> i32 {
    let _ = ctx.position().and_then(walk::reclassify);
    0
}

/// Writes a [`SocketOwner`] for each process and each MPC connection that it has.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn socket_owners(ctx: &Files) -> i32 {
    let _ = try_socket_owners(ctx);
    0
}

#[inline(always)]
fn try_socket_owners(ctx: &Files) -> Option<()> {
    let (account, sock) = ctx.account()?;
    if is_closed(account) {
        return None;
    }
    let flow = flow(&sock, false)?;
    let mut owner = SocketOwner {
        process: ctx.process()?,
        padding: 0,
        connection: connection(&flow, word!(account, slot).get()),
    };
    ctx.write(&mut owner);
    Some(())
}

/// Writes the record of each open MPC connection.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn connections(ctx: &Files) -> i32 {
    let _ = try_connections(ctx);
    0
}

#[inline(always)]
fn try_connections(ctx: &Files) -> Option<()> {
    let (account, sock) = ctx.account()?;
    if is_closed(account) {
        return None;
    }
    let flow = flow(&sock, false)?;
    let mut record = record(account, &sock, &flow, OPEN);
    ctx.write(&mut record);
    Some(())
}

/// Finds out who listens on the ports of parties that share an address, and, the next time, whose the connections are
/// that those have opened.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn local_initiators(ctx: &Files) -> i32 {
    let _ = try_local_initiators(ctx);
    0
}

#[inline(always)]
fn try_local_initiators(ctx: &Files) -> Option<()> {
    let sock = ctx.sock()?;
    let process = ctx.process()?;
    match sock.state() {
        state::LISTEN => listens(&sock, process),
        state::ESTABLISHED if sock.connected_out() && is_listener(process) => {
            let flow = flow(&sock, true)?;
            if is_shared(flow.local) {
                publish(&flow, process);
            }
            Some(())
        }
        _ => None,
    }
}
