//! What the kernel counts about a program.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_cmd, bpf_prog_info};

use super::call::{bpf, empty_attr, length_of};

const PROGRAM_INFO_LENGTH: u32 = length_of::<bpf_prog_info>();

/// Runs, run time, and misses: runs that were skipped because the program was already running on that CPU.
pub(crate) struct ProgramStatistics {
    /// `run_cnt`; counts while `kernel.bpf_stats_enabled` is on.
    pub(crate) runs: u64,
    /// `run_time_ns`; likewise.
    pub(crate) nanoseconds: u64,
    /// `recursion_misses`; counts always, Linux 5.12.
    pub(crate) misses: u64,
}

/// Reads the statistics. `BPF_OBJ_GET_INFO_BY_FD`.
pub(crate) fn program_statistics(program: BorrowedFd<'_>) -> io::Result<ProgramStatistics> {
    // SAFETY: `bpf_prog_info` is integers, so all zeroes are valid and ask for no arrays.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    let mut attr = empty_attr();
    // SAFETY: `BPF_OBJ_GET_INFO_BY_FD` reads this member, and any bytes are valid integers.
    let query = unsafe { &mut attr.info };
    query.bpf_fd = program.as_raw_fd().cast_unsigned();
    query.info = std::ptr::from_mut(&mut info).addr() as u64;
    query.info_len = PROGRAM_INFO_LENGTH;
    // SAFETY: `info` has `info_len` bytes and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(ProgramStatistics {
        runs: info.run_cnt,
        nanoseconds: info.run_time_ns,
        misses: info.recursion_misses,
    })
}
