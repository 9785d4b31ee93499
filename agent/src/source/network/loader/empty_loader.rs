//! An aya loader that has not read the kernel's BTF. aya 0.14 reads it in every `EbpfLoader::new`, even if it is
//! replaced afterwards: 40 MB for nothing, in an agent that takes 10 (aya issue 1172, fixed in 0.15, which needs Rust
//! 1.98). aya treats an error as "no BTF", so the loader is made on a thread that cannot open files.

use std::{io, thread};

use aya::EbpfLoader;

/// Offset of the system call's number in `struct seccomp_data`.
const NUMBER: u32 = 0;

/// Stack of the thread that makes a loader; the default is 2 MiB.
const STACK: usize = 128 << 10;

/// An empty loader. On a kernel without seccomp filters, aya reads the BTF after all.
pub(super) fn loader() -> EbpfLoader<'static> {
    let without_files = || {
        // A failure costs memory and nothing else.
        drop(open_nothing());
        EbpfLoader::new()
    };
    let thread = thread::Builder::new()
        .stack_size(STACK)
        .spawn(without_files);
    let made = thread.ok().and_then(|thread| thread.join().ok());
    made.unwrap_or_default()
}

/// Denies this thread every `openat` until it ends. Linux 3.5.
fn open_nothing() -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: 0,
        jf: 0,
        k,
    };
    let open = u32::try_from(libc::SYS_openat).map_err(io::Error::other)?;
    let refused = libc::SECCOMP_RET_ERRNO | libc::EACCES.cast_unsigned();
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, open)
        },
        statement(libc::BPF_RET | libc::BPF_K, refused),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: this prctl takes integers only. A thread must set it before it may install a filter.
    let kept = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if kept != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` points to the four statements of `filter`; both outlive the call, which copies them.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_makes_it_may_open_nothing() {
        let opened = thread::spawn(|| open_nothing().map(|()| std::fs::read("/proc/self/stat")));
        let read = opened.join().unwrap().unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        drop(loader());
        assert!(std::fs::read("/proc/self/stat").is_ok());
        // The debug form shows whether the BTF was read: it would be a million characters longer.
        assert!(format!("{:?}", loader()).starts_with("EbpfLoader { btf: None,"));
    }
}
