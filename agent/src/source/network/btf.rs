//! The kernel's BTF, read for the offsets of the fields that the programs load. Pure, except for [`KERNEL`] and
//! [`raw`].
//!
//! No crate: aya keeps members private, and the readers on crates.io copy all 150,000 types or are LGPL. This walks the
//! raw bytes once and keeps one offset per type. It accepts an unknown kind only if it can still find the next type.
//! Format: Documentation/bpf/btf.rst.

mod kernel;
mod parse;
mod targets;

use std::{
    fs::File,
    io::{self, Read as _},
};

use memmap2::MmapMut;

pub use self::{
    kernel::{Kernel, read},
    parse::BtfError,
    targets::{AttachTargets, TargetKind},
};

/// Where the running kernel publishes its BTF.
pub const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's BTF, in memory that returns to the system as soon as it is dropped.
///
/// # Errors
/// If the kernel publishes none.
pub fn raw() -> io::Result<MmapMut> {
    let mut file = File::open(KERNEL)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut raw = MmapMut::map_anon(length)?;
    file.read_exact(&mut raw)?;
    Ok(raw)
}
