//! Values of maps, and their words, which are read and written whole.

use core::{
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg},
    ptr::NonNull,
};

const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;
/// For 32 bits: with a relaxed one LLVM 22 forgets that the old value is wanted.
const SEQUENTIAL: AtomicOrdering = AtomicOrdering::SeqCst;

/// A value of a map. It stays valid until the program returns, even if somebody deletes it: programs run under RCU.
pub(super) struct MapValue<T>(NonNull<T>);

impl<T> Clone for MapValue<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MapValue<T> {}

impl<T> MapValue<T> {
    /// `None` of null.
    ///
    /// # Safety
    /// `value` must be what a helper or an iterator has given this run of the program for a map of such values.
    #[inline(always)]
    pub(super) unsafe fn new(value: *mut T) -> Option<Self> {
        NonNull::new(value).map(Self)
    }

    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }
}

/// A word of a map's value, made by [`word`].
#[derive(Clone, Copy)]
pub(super) struct Word<T>(*mut T);

/// The [`Word`] at `$field` of a [`MapValue`].
macro_rules! word {
    ($value:expr, $($field:tt)+) => {{
        let value = $value.as_ptr();
        // SAFETY: a `MapValue` is valid until the program returns, and so are its fields.
        unsafe { $crate::programs::atomic::Word::new(&raw mut (*value).$($field)+) }
    }};
}
pub(super) use word;

impl<T: Copy> Word<T> {
    /// # Safety
    /// `place` must be valid until the program returns.
    #[inline(always)]
    pub(super) unsafe fn new(place: *mut T) -> Self {
        Self(place)
    }

    #[inline(always)]
    pub(super) fn get(self) -> T {
        // SAFETY: valid by `new`; volatile, so that it is read once.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    pub(super) fn set(self, value: T) {
        // SAFETY: valid by `new`; others read the word whole.
        unsafe { self.0.write_volatile(value) };
    }
}

impl Word<u64> {
    /// Wraps: a negative correction is its two's complement.
    #[inline(always)]
    pub(super) fn add(self, value: u64) {
        // SAFETY: valid by `new`.
        let _before = unsafe { atomic_xadd::<u64, u64, RELAXED>(self.0, value) };
    }

    /// Moves it from `before` to `now`, if that is a change and nobody has changed it meanwhile.
    #[inline(always)]
    pub(super) fn swap(self, before: u64, now: u64) -> bool {
        // SAFETY: valid by `new`.
        now != before && unsafe { atomic_cxchg::<u64, RELAXED, RELAXED>(self.0, before, now) }.1
    }

    /// Returns what it was before.
    #[inline(always)]
    pub(super) fn exchange(self, value: u64) -> u64 {
        // SAFETY: valid by `new`.
        unsafe { atomic_xchg::<u64, RELAXED>(self.0, value) }
    }
}

impl Word<u32> {
    /// Returns what it was before.
    #[inline(always)]
    pub(super) fn exchange(self, value: u32) -> u32 {
        // SAFETY: valid by `new`.
        unsafe { atomic_xchg::<u32, SEQUENTIAL>(self.0, value) }
    }

    /// The next number, if it is below `limit`.
    #[inline(always)]
    pub(super) fn take_number(self, limit: u32) -> Option<u32> {
        if self.get() >= limit {
            return None;
        }
        // SAFETY: valid by `new`.
        let number = unsafe { atomic_xadd::<u32, u32, SEQUENTIAL>(self.0, 1) };
        (number < limit).then_some(number)
    }
}
