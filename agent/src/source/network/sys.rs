//! What the agent asks of bpf(2) beyond aya: iterators over maps, program statistics, and mapped arrays. All raw system
//! calls of the network source are here.

mod call;
mod iterator;
pub(super) mod link;
mod mapped;
mod object;
mod statistics;

pub(super) use self::{
    call::wait_for_programs,
    iterator::Iterator,
    mapped::Mapped,
    object::{Object, pinned_object},
    statistics::{ProgramStatistics, program_statistics},
};

/// Returns the memory that parsing the kernel's BTF took, some 20 MB, to the system.
pub(super) fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes an integer and frees only unused pages.
    unsafe {
        libc::malloc_trim(0);
    }
}
