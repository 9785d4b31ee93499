//! Links: what keeps a program attached, and what is pinned of it. By bpf(2) itself, because aya's `FdLink` lends its
//! descriptor to nobody and gives itself away when it is pinned.
//!
//! Relies on, read in sources from 5.9 to 6.17 and in the newest:
//! - A link of a tracing program cannot be detached (`bpf_tracing_link_lops`, `kernel/bpf/syscall.c`, has no `detach`):
//!   it ends with the last descriptor and the last pin. Nor can another program be put in its place.
//! - One of a cgroup can: by `BPF_LINK_DETACH` (5.9), or with its cgroup. `fill_link_info` says then that the cgroup is
//!   0 (`bpf_cgroup_link_fill_link_info`, `kernel/bpf/cgroup.c`). It cannot be attached again (`ENOLINK`): a new one is
//!   made. `BPF_LINK_UPDATE` puts another program into it, and `prog_id` says so.
//! - To attach a program of `sock_ops` or of tracing that is loaded wants `CAP_BPF` at most, where bpf(2) is not for
//!   everybody; one of `cgroup_skb` also `CAP_NET_ADMIN` (`bpf_prog_attach_check_attach_type`).

use std::{
    ffi::CString,
    io, mem,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_link_info};

use super::call::{bpf, bpf_fd, empty_attr, length_of};

const INFO_LENGTH: u32 = length_of::<bpf_link_info>();

/// Attaches a tracing program, to what it was loaded for. `BPF_RAW_TRACEPOINT_OPEN` without a name, Linux 5.5.
pub(crate) fn attach_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    attr.raw_tracepoint.prog_fd = program.as_raw_fd().cast_unsigned();
    // SAFETY: `raw_tracepoint` holds one pointer, the name, which is null; the command returns a new descriptor.
    unsafe { bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}

/// Attaches a program to a cgroup, beside those already there. `BPF_LINK_CREATE`, Linux 5.7.
pub(crate) fn attach_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    hook: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    // SAFETY: `BPF_LINK_CREATE` reads this member, and any bytes are valid integers.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    create.__bindgen_anon_2.target_fd = cgroup.as_raw_fd().cast_unsigned();
    create.attach_type = hook as u32;
    // SAFETY: `link_create` holds no pointers here, and the command returns a new descriptor.
    unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// A link's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The number of the attached program.
    pub(crate) program: u32,
    /// A cgroup link's cgroup; 0 if detached. Meaningless for other links.
    pub(crate) cgroup: u64,
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a link, Linux 5.8.
pub(crate) fn state(link: BorrowedFd<'_>) -> io::Result<State> {
    // SAFETY: `bpf_link_info` is integers, so all zeroes are valid; null pointers in it ask for no names.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    let mut attr = empty_attr();
    // SAFETY: `BPF_OBJ_GET_INFO_BY_FD` reads this member, and any bytes are valid integers.
    let query = unsafe { &mut attr.info };
    query.bpf_fd = link.as_raw_fd().cast_unsigned();
    query.info = std::ptr::from_mut(&mut info).addr() as u64;
    query.info_len = INFO_LENGTH;
    // SAFETY: `info` has `info_len` bytes and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(State {
        program: info.prog_id,
        // SAFETY: all bytes of `info` were initialised above, and any bytes are valid integers.
        cgroup: unsafe { info.__bindgen_anon_1.cgroup.cgroup_id },
    })
}

/// Pins a link or a map. `BPF_OBJ_PIN`, Linux 4.4.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = empty_attr();
    // SAFETY: `BPF_OBJ_PIN` reads this member, and any bytes are valid integers.
    let place = unsafe { &mut attr.__bindgen_anon_4 };
    place.pathname = path.as_ptr().addr() as u64;
    place.bpf_fd = object.as_raw_fd().cast_unsigned();
    // SAFETY: `pathname` points to `path`, which ends in a zero and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// Opens a pinned object. `BPF_OBJ_GET`, Linux 4.4.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = empty_attr();
    // SAFETY: `BPF_OBJ_GET` reads this member, and any bytes are valid integers.
    let place = unsafe { &mut attr.__bindgen_anon_4 };
    place.pathname = path.as_ptr().addr() as u64;
    // SAFETY: `pathname` points to `path`, which outlives the call; the command returns a new descriptor.
    unsafe { bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }
}
