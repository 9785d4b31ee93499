//! The records that the kernel side writes to rings and iterators, back to back.

use aya::Pod;

/// The record at the start of `bytes`; `None` if there are too few.
pub(super) fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: the slice has `size_of::<T>()` bytes, `read_unaligned` asks for no alignment, and any bytes are a `Pod`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Every whole record.
pub(super) fn read_all<T: Pod>(bytes: &[u8]) -> impl Iterator<Item = T> {
    bytes.chunks_exact(size_of::<T>()).filter_map(read)
}
