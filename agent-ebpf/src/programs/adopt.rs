//! `iter/task_file`: gives accounts to the MPC connections of every process that are older than the agent,
//! in whatever network namespace, counted from now on.
//!
//! Does not see a connection that no process holds open, see `iterator`.

use core::mem::MaybeUninit;

use super::{
    account,
    classify::Connection,
    iterator::Files,
    maps::{account_of, is_closed, open_account},
    socket::tcp_state,
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn adopt(ctx: *mut Files) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { try_adopt(ctx) };
    0
}

#[inline(always)]
unsafe fn try_adopt(ctx: *mut Files) -> Option<()> {
    // SAFETY: the caller's.
    let sock = unsafe { Files::sock(ctx) }?;
    if !established(sock.state()) {
        return None;
    }
    // SAFETY: a full socket.
    if let Some(account) = unsafe { account_of(sock.as_ptr()) }
        // SAFETY: a value of the socket storage.
        && !unsafe { is_closed(account.as_ptr()) }
    {
        return None;
    }
    let initiator = sock.connected_out();
    let connection = Connection::of(&sock, initiator)?;
    let mut place = MaybeUninit::uninit();
    let adopted = account::adopted(&mut place, connection.slot()?, &sock);
    adopted.initiator = u32::from(initiator);
    // SAFETY: as above.
    let account = unsafe { open_account(sock.as_ptr(), adopted) }?;
    // SAFETY: a value of the socket storage.
    unsafe { account::look_if_told(account.as_ptr(), &sock) };
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
