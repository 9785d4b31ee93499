//! The host source: memory of the machine, and the agent's own process.

use std::{fs, sync::Arc};

use nix::{
    libc::RLIM_INFINITY,
    sys::resource::{Resource, getrlimit},
    unistd::{SysconfVar, sysconf},
};
use procfs::ProcResult;
use sysinfo::{MemoryRefreshKind, System};

use super::{Failure, Source};
use crate::sample::{FailureKind, Host, Process};

/// Reads `/proc`.
pub struct HostSource(Option<System>);

impl Default for HostSource {
    fn default() -> Self {
        Self(System::new().ok())
    }
}

impl Source for HostSource {
    type Sample = Host;

    fn name(&self) -> Arc<str> {
        "host".into()
    }

    fn collect(&mut self) -> Result<Host, Failure> {
        let memory_used = self.0.as_mut().and_then(|system| {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            let total = system.total_memory();
            (total > 0).then(|| total.saturating_sub(system.available_memory()))
        });
        let process = process().map_err(|error| {
            Failure::new(
                FailureKind::Read,
                format!("cannot read /proc/self: {error}"),
            )
        })?;
        Ok(Host {
            memory_used,
            process,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for a million years")]
fn process() -> ProcResult<Process> {
    // Before procfs opens the directory of the process. The one that is read here is open as well.
    let open_fds = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64;
    let process = procfs::process::Process::myself()?;
    let stat = process.stat()?;
    let memory = process.statm()?;
    // Not by procfs: it reads /proc/self/auxv before Linux 6.4, and panics where `privilege::seal` has closed that.
    let page = setting(SysconfVar::PAGE_SIZE);
    let per_second = setting(SysconfVar::CLK_TCK);
    let bytes = |pages: u64| page.map(|page| pages.saturating_mul(page));
    let seconds = |ticks: u64| per_second.map(|per_second| ticks as f64 / per_second as f64);
    let boot = System::boot_time().ok().map(|seconds| seconds as f64);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok();
    Ok(Process {
        virtual_bytes: bytes(memory.size),
        resident_bytes: bytes(memory.resident),
        cpu_seconds: seconds(stat.utime.saturating_add(stat.stime)),
        threads: u64::try_from(stat.num_threads).ok(),
        start_time: boot
            .zip(seconds(stat.starttime))
            .map(|(boot, after)| boot + after),
        open_fds: Some(open_fds),
        max_fds: limit
            .map(|(soft, _)| soft)
            .filter(|it| *it != RLIM_INFINITY),
    })
}

/// A setting of the system; `None` if it is unknown.
fn setting(name: SysconfVar) -> Option<u64> {
    let value = sysconf(name).ok().flatten();
    value
        .and_then(|it| u64::try_from(it).ok())
        .filter(|it| *it > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let host = HostSource::default().collect().unwrap();
        assert!(host.memory_used.unwrap() > 0);
        let process = host.process;
        assert!(process.resident_bytes.unwrap() < process.virtual_bytes.unwrap());
        assert!(process.threads.unwrap() >= 1 && process.open_fds.unwrap() >= 3);
        let age = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
            - process.start_time.unwrap();
        assert!((-5.0..3600.0).contains(&age), "{age} s old");
    }
}
