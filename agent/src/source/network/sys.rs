//! What the agent asks of bpf(2) that aya does not offer: an iterator over a map, a program's statistics, and
//! reading a map's memory. The only raw system calls of the network source.

pub(super) mod link;

use std::{
    ffi::{CString, c_void},
    io::{self, Read as _},
    marker::PhantomData,
    mem,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya::Pod;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_info};
use memmap2::{MmapOptions, MmapRaw};

/// # Safety
/// `attr` must be what the command wants; pointers in it must be valid.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the caller's; the size is that of the union.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// # Safety
/// As [`bpf`], and the command must return a new file descriptor.
unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until every program that is running now has ended: they run under RCU, for a grace period of which
/// `MEMBARRIER_CMD_GLOBAL` waits (`kernel/sched/membarrier.c`, Linux 4.16). Where processors run without a tick the
/// kernel refuses, and what this is to prevent may happen: that one event counts twice.
pub(super) fn wait_for_programs() {
    // SAFETY: integers only.
    unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
}

fn empty_attr() -> bpf_attr {
    // SAFETY: a union of plain integers; all zero is a valid value of each.
    unsafe { mem::zeroed() }
}

/// What is pinned at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// A map: bytes of its keys and values, and its length.
    Map {
        /// Bytes of a key.
        key: u32,
        /// Bytes of a value.
        value: u32,
        /// Most entries.
        entries: u32,
    },
    /// A link.
    Link,
    /// A program, or what later kernels have.
    Other,
}

/// Looks at what is pinned at a path. `BPF_OBJ_GET`, Linux 4.4; which kind it is, the kernel says in `fdinfo` only:
/// `BPF_OBJ_GET_INFO_BY_FD` fills in whatever structure belongs to it (`bpf_obj_get_info_by_fd`,
/// kernel/bpf/syscall.c).
pub(super) fn pinned_object(path: &Path) -> io::Result<Object> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = empty_attr();
    attr.__bindgen_anon_4.pathname = name.as_ptr().addr() as u64;
    // SAFETY: `name` outlives the call.
    let object = unsafe { bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }?;
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))?;
    Ok(kind_of(&told))
}

/// Reads `fdinfo` of an object.
fn kind_of(told: &str) -> Object {
    let field = |name: &str| {
        let rest = told.lines().find_map(|line| line.strip_prefix(name))?;
        rest.strip_prefix(':').map(str::trim)
    };
    let number = |name: &str| field(name).and_then(|text| text.parse().ok());
    let map = || {
        Some(Object::Map {
            key: number("key_size")?,
            value: number("value_size")?,
            entries: number("max_entries")?,
        })
    };
    if field("link_type").is_some() {
        return Object::Link;
    }
    let map = field("map_type").and_then(|_| map());
    map.unwrap_or(Object::Other)
}

const LINK_INFO_LENGTH: u32 = length_of::<LinkInfo>();
const PROGRAM_INFO_LENGTH: u32 = length_of::<bpf_prog_info>();

/// The size of a structure in the width that the kernel asks for.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both structures are under 300 bytes"
)]
const fn length_of<T>() -> u32 {
    size_of::<T>() as u32
}

/// An attached iterator program; each run walks everything once.
#[derive(Debug)]
pub(super) struct Iterator {
    link: OwnedFd,
}

impl Iterator {
    /// Attaches an iterator program; one over a map's entries wants that map. `BPF_LINK_CREATE`, Linux 5.8.
    pub(super) fn attach(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let mut info = LinkInfo {
            map_fd: 0,
            padding: [0; 3],
        };
        let mut attr = empty_attr();
        // SAFETY: the member that the command reads.
        let create = unsafe { &mut attr.link_create };
        create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
        if let Some(map) = map {
            info.map_fd = map.as_raw_fd().cast_unsigned();
            // SAFETY: the member of the union that an iterator's link reads.
            let iter = unsafe { &mut create.__bindgen_anon_3.__bindgen_anon_1 };
            iter.iter_info = std::ptr::from_ref(&info).addr() as u64;
            iter.iter_info_len = LINK_INFO_LENGTH;
        }
        // SAFETY: `info` outlives the call.
        let link = unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
        Ok(Self { link })
    }

    /// Walks everything once and hands back what the program wrote. `BPF_ITER_CREATE`, Linux 5.8.
    pub(super) fn run(&self) -> io::Result<Vec<u8>> {
        let mut attr = empty_attr();
        attr.iter_create.link_fd = self.link.as_raw_fd().cast_unsigned();
        // SAFETY: no pointers.
        let walk = unsafe { bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr) }?;
        // A read walks until the end, until what was written fills a page or so, or until it has seen a million
        // entries (`bpf_seq_read`, kernel/bpf/bpf_iter.c), where it says EAGAIN and goes on in the next.
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

/// `union bpf_iter_link_info`: as long as the kernel's of 5.12; longer ones must be zero from there on.
#[repr(C)]
struct LinkInfo {
    map_fd: u32,
    padding: [u32; 3],
}

/// Runs, run time in nanoseconds, and runs that were skipped because the program was running on that CPU.
pub(super) struct ProgramStatistics {
    /// `run_cnt`; counts while `kernel.bpf_stats_enabled`.
    pub(super) runs: u64,
    /// `run_time_ns`; likewise.
    pub(super) nanoseconds: u64,
    /// `recursion_misses`; counts always, Linux 5.12.
    pub(super) misses: u64,
}

/// What the kernel counts about a program. `BPF_OBJ_GET_INFO_BY_FD`.
pub(super) fn program_statistics(program: BorrowedFd<'_>) -> io::Result<ProgramStatistics> {
    // SAFETY: integers; all zero is valid and asks for no arrays.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    let mut attr = empty_attr();
    // SAFETY: the member that the command reads.
    let query = unsafe { &mut attr.info };
    query.bpf_fd = program.as_raw_fd().cast_unsigned();
    query.info = std::ptr::from_mut(&mut info).addr() as u64;
    query.info_len = PROGRAM_INFO_LENGTH;
    // SAFETY: `info` is as long as said and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(ProgramStatistics {
        runs: info.run_cnt,
        nanoseconds: info.run_time_ns,
        misses: info.recursion_misses,
    })
}

/// An array map made with `BPF_F_MMAPABLE`, in this process's memory: reading it costs no system call.
pub(super) struct Mapped<T> {
    memory: MmapRaw,
    length: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Mapped<T> {
    /// Maps the array of `length` elements. Linux 5.5.
    pub(super) fn new(map: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
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

    /// As [`Mapped::new`], also to write to.
    pub(super) fn writable(map: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
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

    /// Elements that are mapped.
    pub(super) fn length(&self) -> u32 {
        u32::try_from(self.length).unwrap_or(u32::MAX)
    }

    /// Sets one word of the first element, by its offset; the array must have been mapped as [`Mapped::writable`]. The
    /// programs may read and write the other words meanwhile.
    pub(super) fn store(&self, offset: usize, word: u32) {
        let at = offset / size_of::<u32>();
        if self.length > 0 && at < size_of::<T>() / size_of::<u32>() {
            let words: *mut c_void = self.memory.as_mut_ptr().cast();
            // SAFETY: within the first element, aligned (a page, then whole words), any bytes are a `T`.
            unsafe { words.cast::<u32>().add(at).write_volatile(word) };
        }
    }

    /// Sets a part of one element, at its offset; the array must have been mapped as [`Mapped::writable`]. Nobody else
    /// may write it.
    pub(super) fn set<P: Copy>(&self, index: u32, offset: usize, part: P) {
        let index = index as usize;
        let fits = offset + size_of::<P>() <= size_of::<T>() && align_of::<P>() <= align_of::<T>();
        if index < self.length && fits && offset.is_multiple_of(align_of::<P>()) {
            let bytes: *mut c_void = self.memory.as_mut_ptr().cast();
            // SAFETY: within the element, and aligned as it is.
            unsafe {
                let place = bytes.byte_add(index * size_of::<T>() + offset);
                place.cast::<P>().write_volatile(part);
            }
        }
    }

    /// A copy of one element. The kernel may write meanwhile, a word at a time.
    pub(super) fn read(&self, index: u32) -> Option<T> {
        let index = index as usize;
        (index < self.length).then(|| {
            // SAFETY: within the mapping, aligned (a page, then whole elements), any bytes are a `T`.
            unsafe { self.memory.as_ptr().cast::<T>().add(index).read_volatile() }
        })
    }
}

/// Gives the memory back that parsing the kernel's BTF took: some 20 MB, once.
pub(super) fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only returns free pages to the system.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.18 writes it.
    #[test]
    fn what_is_pinned_is_told_by_its_kind() {
        let head = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t12\n";
        let map = "map_type:\t2\nkey_size:\t4\nvalue_size:\t48\nmax_entries:\t1\nmap_flags:\t0x0\nmap_extra:\t0x0\n\
                   memlock:\t272\nmap_id:\t5\nfrozen:\t0\n";
        let link =
            "link_type:\traw_tracepoint\nlink_id:\t2\nprog_tag:\t0a1b\nprog_id:\t9\ntp_name:\tx\n";
        let program =
            "prog_type:\t6\nprog_jited:\t1\nprog_tag:\t0a1b\nmemlock:\t4096\nprog_id:\t9\n";
        assert_eq!(
            kind_of(&(head.to_owned() + map)),
            Object::Map {
                key: 4,
                value: 48,
                entries: 1
            }
        );
        assert_eq!(kind_of(&(head.to_owned() + link)), Object::Link);
        assert_eq!(kind_of(&(head.to_owned() + program)), Object::Other);
        assert_eq!(kind_of(head), Object::Other);
    }
}
