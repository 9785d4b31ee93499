//! The raw system calls.

use std::{
    io, mem,
    os::fd::{FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// # Safety
/// `attr` must hold what the command reads, and pointers in it must be valid during the call.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: `attr` is a whole `bpf_attr`, and its content is valid by this function's contract.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// # Safety
/// As [`bpf`], and the command must return a new file descriptor.
pub(super) unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: this function's contract includes that of `bpf`.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the command returned a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until all running programs have ended. They run under RCU, and `MEMBARRIER_CMD_GLOBAL` waits for a grace
/// period (`kernel/sched/membarrier.c`, Linux 4.16). The kernel refuses on machines with tickless CPUs; there, an event
/// during the handover may count twice.
pub(crate) fn wait_for_programs() {
    // SAFETY: membarrier takes integers only.
    unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
}

pub(super) fn empty_attr() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of integers, so all zeroes are valid.
    unsafe { mem::zeroed() }
}

/// A structure's size, as wide as the kernel reads it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "all structures are under 300 bytes"
)]
pub(super) const fn length_of<T>() -> u32 {
    size_of::<T>() as u32
}
