//! The kernel's run-time statistics of BPF programs, on for as long as a value of [`Enabled`] lives: also when this
//! process is killed, the kernel switches them off again. The sysctl `kernel.bpf_stats_enabled` would stay.

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

use anyhow::Context as _;

/// `BPF_ENABLE_STATS` (include/uapi/linux/bpf.h, Linux 5.8).
const ENABLE_STATS: libc::c_long = 32;
/// `BPF_STATS_RUN_TIME`, the command's one argument.
const RUN_TIME: u32 = 0;

/// The statistics are on.
pub(super) struct Enabled {
    _while_open: OwnedFd,
}

/// Switches the statistics on. They make every run of a program read the clock twice.
pub(super) fn enable() -> anyhow::Result<Enabled> {
    let attributes = RUN_TIME;
    // SAFETY: the command reads the four bytes it is told of.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            ENABLE_STATS,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    let fd = i32::try_from(fd).context("not a file descriptor")?;
    if fd < 0 {
        return Err(io::Error::last_os_error())
            .context("cannot switch the kernel's BPF statistics on (Linux 5.8, CAP_SYS_ADMIN)");
    }
    Ok(Enabled {
        // SAFETY: a new descriptor that nobody else owns.
        _while_open: unsafe { OwnedFd::from_raw_fd(fd) },
    })
}
