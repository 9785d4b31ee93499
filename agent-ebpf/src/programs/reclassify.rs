//! `iter/bpf_sk_storage_map`, or `iter/task_file` where the kernel refuses that: once the tables have changed, each
//! account goes to the slot that is its own by the new ones. What was counted until now stays where it is: the old
//! slot is brought up to date first. An account that is nobody's any more goes.
//!
//! Relies on an account's deletion by the iterator that stands on it
//! (`tools/testing/selftests/bpf/progs/bpf_iter_bpf_sk_storage_helpers.c`, 5.12). The end of a connection may race:
//! it reads the slot once and marks the sums, so a byte goes to the old slot or to the new one, and never to both.
//! Never at the same time as `settle` or `adopt`: one thread runs all three.

use agent_ebpf::told;

use super::{
    account,
    classify::{Connection, is_unknown},
    iterator::{Accounts, At, Files},
    maps::{COUNTERS, drop_account, is_closed},
    rhythm::end_wait,
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn reclassify(ctx: *mut Accounts) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { Accounts::at(ctx).and_then(|(at, walk)| try_reclassify(&at, walk)) };
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn reclassify_by_file(ctx: *mut Files) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { Files::at(ctx).and_then(|(at, walk)| try_reclassify(&at, walk)) };
    0
}

/// # Safety
/// `at` must be where the walk is.
#[inline(always)]
unsafe fn try_reclassify(at: &At, walk: u64) -> Option<()> {
    let At::Account(account, sock) = at else {
        return None;
    };
    let value = *account;
    // What has ended stays where it was counted: so do the messages that are still read.
    // SAFETY: a value of the socket storage.
    if unsafe { is_closed(value) } {
        return None;
    }
    // SAFETY: as above.
    let (before, initiator) = unsafe { ((*value).slot, (*value).initiator != 0) };
    let connection = Connection::of(sock, initiator)?;
    let now = match connection.slot() {
        // What an MPC program has begun with a stranger stays that until it is allowed.
        None if initiator && is_unknown(before) && !connection.is_allowed() => {
            Some(connection.strange_slot())
        }
        now => now,
    };
    if now == Some(before) {
        return None;
    }
    // SAFETY: as above.
    unsafe { account::settle(value, sock, walk) };
    if let Some(slot) = COUNTERS.get_ptr_mut(before) {
        // SAFETY: map values, valid for the length of the program.
        unsafe { end_wait(value, slot) };
    }
    // SAFETY: as above; a word, which whoever reads it has whole; and the iterator's socket.
    unsafe {
        if let Some(slot) = now {
            (&raw mut (*value).slot).write_volatile(slot);
        } else {
            account::note_told(value, told::UNKNOWN);
            drop_account(sock.as_ptr());
        }
    }
    Some(())
}
