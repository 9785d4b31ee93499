//! Brings every open account up to date, once per collection: `iter/bpf_sk_storage_map`, or `iter/task_file` where the
//! kernel refuses that.
//!
//! Both read without the sockets' locks. A socket may end, and its memory serve another one, while it is read: its
//! account is closed by then, so nothing of what was read is added.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use super::{
    account::{self, add},
    iterator::{Accounts, At, Files},
    maps::CONTROL,
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn settle(ctx: *mut Accounts) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { Accounts::at(ctx).and_then(|(at, walk)| try_settle(&at, walk)) };
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn settle_by_file(ctx: *mut Files) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let _ = unsafe { Files::at(ctx).and_then(|(at, walk)| try_settle(&at, walk)) };
    0
}

/// # Safety
/// `at` must be where the walk is.
#[inline(always)]
unsafe fn try_settle(at: &At, walk: u64) -> Option<()> {
    let control = CONTROL.get_ptr_mut(0)?;
    let At::Account(account, sock) = at else {
        // SAFETY: the array's element, valid for the length of the program; the clock has no conditions.
        unsafe {
            (&raw mut (*control).walk).write_volatile(walk);
            (&raw mut (*control).clock).write_volatile(bpf_ktime_get_ns());
        }
        return None;
    };
    // SAFETY: a value of the socket storage; only this iterator writes the field, and one runs at a time.
    unsafe {
        if (**account).walk == walk as u32 {
            return None;
        }
        (&raw mut (**account).walk).write_volatile(walk as u32);
        account::settle(*account, sock, walk);
    }
    // SAFETY: the array's element, valid for the length of the program.
    unsafe { add(&raw mut (*control).settled, 1) };
    Some(())
}
