//! What the iterators have in common: the kernel's words about a walk.

use aya_ebpf::helpers::generated::bpf_seq_write;
use core::ffi::c_void;

/// `struct bpf_iter_meta`, `include/linux/bpf.h`, 5.8.
#[repr(C)]
pub(super) struct Meta {
    seq: *mut c_void,
    /// Another number for each walk.
    pub(super) session_id: u64,
    /// How many entries were before this one.
    _seq_num: u64,
}

/// Hands a value to the reader of the iterator. Where it does not fit, the kernel calls the program again for the
/// same entry (`bpf_seq_read`, `kernel/bpf/bpf_iter.c`).
///
/// # Safety
/// `meta` must be what the iterator's context holds.
#[inline(always)]
pub(super) unsafe fn write<T>(meta: *mut Meta, value: &mut T) {
    // SAFETY: the caller's; the value is as long as said.
    unsafe {
        let length = size_of::<T>() as u32;
        bpf_seq_write(
            (*meta).seq.cast(),
            core::ptr::from_mut(value).cast(),
            length,
        );
    }
}
