//! Iterator programs, attached by bpf(2) and read to the end.

use std::{
    io::{self, Read as _},
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::call::{bpf_fd, empty_attr, length_of};

const LINK_INFO_LENGTH: u32 = length_of::<LinkInfo>();

/// An attached iterator program. Each run walks everything once.
#[derive(Debug)]
pub(crate) struct Iterator {
    link: OwnedFd,
}

impl Iterator {
    /// Attaches an iterator program; one over a map's entries needs that map. `BPF_LINK_CREATE`, Linux 5.8.
    pub(crate) fn attach(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let mut info = LinkInfo {
            map_fd: 0,
            padding: [0; 3],
        };
        let mut attr = empty_attr();
        // SAFETY: `BPF_LINK_CREATE` reads this member, and any bytes are valid integers.
        let create = unsafe { &mut attr.link_create };
        create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
        if let Some(map) = map {
            info.map_fd = map.as_raw_fd().cast_unsigned();
            // SAFETY: an iterator's link reads this member, and any bytes are valid integers.
            let iter = unsafe { &mut create.__bindgen_anon_3.__bindgen_anon_1 };
            iter.iter_info = std::ptr::from_ref(&info).addr() as u64;
            iter.iter_info_len = LINK_INFO_LENGTH;
        }
        // SAFETY: `iter_info` points to `info`, which outlives the call, or is null.
        let link = unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
        Ok(Self { link })
    }

    /// Walks everything once and returns what the program wrote. `BPF_ITER_CREATE`, Linux 5.8.
    pub(crate) fn run(&self) -> io::Result<Vec<u8>> {
        let mut attr = empty_attr();
        attr.iter_create.link_fd = self.link.as_raw_fd().cast_unsigned();
        // SAFETY: `iter_create` holds no pointers, and the command returns a new descriptor.
        let walk = unsafe { bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr) }?;
        // A read ends after about a page of output, or with EAGAIN after a million entries (`bpf_seq_read`,
        // kernel/bpf/bpf_iter.c); the next read continues.
        let mut walk = std::fs::File::from(walk);
        let mut written = Vec::new();
        let mut part = [0; 4096];
        loop {
            match walk.read(&mut part) {
                Ok(0) => return Ok(written),
                Ok(length) => written.extend_from_slice(&part[..length]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// `union bpf_iter_link_info` as long as in Linux 5.12; what newer kernels add must be zero.
#[repr(C)]
struct LinkInfo {
    map_fd: u32,
    padding: [u32; 3],
}
