//! A loader of aya that has not read the kernel's BTF. aya 0.14 does so wherever one is made, also when it is then
//! given another: 40 MB, for nothing, at the start of an agent that takes 10 (aya's issue 1172, mended in 0.15, which
//! asks for Rust 1.98). Its error is taken for "there is none", so a loader is made on a thread that may open nothing.

use std::{io, thread};

use aya::EbpfLoader;

/// `struct seccomp_data` begins with the number of the system call.
const NUMBER: u32 = 0;

/// Room for what making a loader calls; the usual stack is 2 MiB.
const STACK: usize = 128 << 10;

/// An empty loader. Where the kernel has no seccomp filters, it has taken the memory meanwhile.
pub(super) fn loader() -> EbpfLoader<'static> {
    let without_files = || {
        // Without it, all is right but for the memory.
        drop(open_nothing());
        EbpfLoader::new()
    };
    let thread = thread::Builder::new()
        .stack_size(STACK)
        .spawn(without_files);
    let made = thread.ok().and_then(|thread| thread.join().ok());
    made.unwrap_or_default()
}

/// From now on until it ends, this thread is refused every file. Linux 3.5.
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
    // SAFETY: integers only. A filter may be set only by who gains no privileges any more.
    let kept = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if kept != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the filter is as long as said, and outlives the call, which copies it.
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
        // Its own default shows whether it has read the BTF: it then has a million characters more to tell.
        assert!(format!("{:?}", loader()).starts_with("EbpfLoader { btf: None,"));
    }
}
