//! What the fuzz targets share: the bound on memory, what messages may look like, and a crash that is reported even where
//! the stack is used up.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it hands every call on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        // SAFETY: the layout is the one that was asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: all memory is from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Does it, and panics if it holds more than `limit` bytes at any time.
pub fn bounded<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = work();
    let most = MOST.load(Relaxed).saturating_sub(before);
    assert!(most <= limit, "held {most} bytes, more than {limit}");
    result
}

/// Panics if a message has anything that a terminal would not show as it is, or is endless.
pub fn assert_plain(message: &str) {
    assert!(!message.is_empty(), "an empty message");
    let deceives = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let found = message.chars().find(|c| deceives(*c));
    assert_eq!(found, None, "in a message: {message:?}");
}

/// Panics if a message that begins with `place:LINE` names a line that `text` does not have.
pub fn assert_line_exists(message: &str, place: &str, text: &[u8]) {
    let rest = message.strip_prefix(place);
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix(':')) else {
        return;
    };
    let Some(number) = rest
        .split(':')
        .next()
        .and_then(|it| it.parse::<usize>().ok())
    else {
        return;
    };
    // Where the last line ends, an empty one may be meant.
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(
        (1..=lines).contains(&number),
        "line {number} of {lines}: {message}"
    );
}

/// Has libFuzzer's handler of SIGSEGV run on a stack of its own, which it only does where one is wanted already: it can
/// then write down the input that has used the stack up.
pub fn prepare() {
    const SIZE: usize = 1 << 16;
    let stack = libc::stack_t {
        ss_sp: vec![0_u8; SIZE].leak().as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: the stack is never freed; the action is the default one, and all zeroes are a valid one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        action.sa_flags = libc::SA_ONSTACK;
        assert_eq!(libc::sigaltstack(&raw const stack, std::ptr::null_mut()), 0);
        assert_eq!(
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}
