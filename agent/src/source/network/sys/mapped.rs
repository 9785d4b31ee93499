//! A BPF array in this process's memory.

use std::{
    ffi::c_void,
    io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    sync::atomic::{Ordering, fence},
};

use aya::Pod;
use memmap2::{MmapOptions, MmapRaw};

/// An array map with `BPF_F_MMAPABLE`, in this process's memory: a read needs no system call.
pub(crate) struct Mapped<T> {
    memory: MmapRaw,
    length: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Mapped<T> {
    /// Maps `length` elements. Linux 5.5.
    pub(crate) fn new(map: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        let length = length as usize;
        let memory = MmapOptions::new()
            .len(length * size_of::<T>())
            .map_raw_read_only(map.as_fd().as_raw_fd())?;
        Ok(Self {
            memory,
            length,
            element: PhantomData,
        })
    }

    /// As [`Mapped::new`], also for writing.
    pub(crate) fn writable(map: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        let length = length as usize;
        let memory = MmapOptions::new()
            .len(length * size_of::<T>())
            .map_raw(map.as_fd().as_raw_fd())?;
        Ok(Self {
            memory,
            length,
            element: PhantomData,
        })
    }

    pub(crate) fn length(&self) -> u32 {
        u32::try_from(self.length).unwrap_or(u32::MAX)
    }

    /// Sets one word of the first element. The array must be [`Mapped::writable`]. Programs may access the other words
    /// meanwhile.
    pub(crate) fn store(&self, offset: usize, word: u32) {
        let at = offset / size_of::<u32>();
        if self.length > 0 && at < size_of::<T>() / size_of::<u32>() {
            let words: *mut c_void = self.memory.as_mut_ptr().cast();
            // SAFETY: `at` is within the first element, and the mapping begins with a page, so words are aligned.
            unsafe { words.cast::<u32>().add(at).write_volatile(word) };
        }
    }

    /// Sets a part of one element. The array must be [`Mapped::writable`], and only the agent may write this part.
    pub(crate) fn set<P: Copy>(&self, index: u32, offset: usize, part: P) {
        let index = index as usize;
        let fits = offset + size_of::<P>() <= size_of::<T>() && align_of::<P>() <= align_of::<T>();
        if index < self.length && fits && offset.is_multiple_of(align_of::<P>()) {
            let bytes: *mut c_void = self.memory.as_mut_ptr().cast();
            // SAFETY: the part is within the element, and `offset` is a multiple of its alignment.
            unsafe {
                let place = bytes.byte_add(index * size_of::<T>() + offset);
                place.cast::<P>().write_volatile(part);
            }
        }
    }

    /// A copy of one element, a word at a time in ascending order: the kernel may write meanwhile.
    pub(crate) fn read(&self, index: u32) -> Option<T> {
        const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() >= 8) };
        let index = index as usize;
        (index < self.length).then(|| {
            let mut copy = MaybeUninit::<T>::uninit();
            for word in 0..size_of::<T>() / 8 {
                // SAFETY: `index` and `word` are within the mapping, which begins with a page and so is aligned.
                let value = unsafe {
                    let element = self.memory.as_ptr().cast::<T>().add(index);
                    element.cast::<u64>().add(word).read_volatile()
                };
                // What comes later in the element is also read later.
                fence(Ordering::Acquire);
                // SAFETY: `word` is within the copy, which is aligned as a `u64` is.
                unsafe { copy.as_mut_ptr().cast::<u64>().add(word).write(value) };
            }
            // SAFETY: every word is written, and any bytes are a `Pod`.
            unsafe { copy.assume_init() }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn an_element_is_read_and_only_the_given_part_of_it_is_written() {
        let mut file = tempfile::tempfile().unwrap();
        for word in 1_u64..=6 {
            file.write_all(&word.to_ne_bytes()).unwrap();
        }
        let array = Mapped::<[u64; 3]>::writable(file.as_fd(), 2).unwrap();
        let read = Mapped::<[u64; 3]>::new(file.as_fd(), 2).unwrap();
        let all = || [0, 1, 2].map(|index| read.read(index));
        assert_eq!(all(), [Some([1, 2, 3]), Some([4, 5, 6]), None]);
        array.set(1, 8, 50_u64);
        array.store(16, 30);
        assert_eq!(all(), [Some([1, 2, 30]), Some([4, 50, 6]), None]);
        // Outside of an element, or of the array.
        array.set(0, 24, 9_u64);
        array.set(2, 0, 9_u64);
        array.store(24, 9);
        assert_eq!(all(), [Some([1, 2, 30]), Some([4, 50, 6]), None]);
    }
}
