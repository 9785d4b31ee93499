//! The host source: memory of the machine, and the agent's own process.

use std::{fs, io, sync::Arc};

use sysinfo::{MemoryRefreshKind, System};

use super::{Failure, Source};
use crate::sample::{FailureKind, Host, Process};

/// Reads `/proc`.
pub struct HostSource {
    system: Option<System>,
    /// Clock ticks a second and bytes a page, which the kernel counts in.
    ticks: f64,
    page: u64,
}

impl Default for HostSource {
    fn default() -> Self {
        Self {
            system: System::new().ok(),
            ticks: sysconf(libc::_SC_CLK_TCK).map_or(100.0, f64::from),
            page: sysconf(libc::_SC_PAGESIZE).map_or(4096, u64::from),
        }
    }
}

fn sysconf(name: libc::c_int) -> Option<u32> {
    // SAFETY: takes and returns an integer.
    u32::try_from(unsafe { libc::sysconf(name) })
        .ok()
        .filter(|value| *value > 0)
}

impl Source for HostSource {
    type Sample = Host;

    fn name(&self) -> Arc<str> {
        "host".into()
    }

    fn collect(&mut self) -> Result<Host, Failure> {
        let memory_used = self.system.as_mut().and_then(|system| {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            let total = system.total_memory();
            (total > 0).then(|| total.saturating_sub(system.available_memory()))
        });
        let process = self.process().map_err(|error| {
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

impl HostSource {
    fn process(&self) -> io::Result<Process> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let memory = fs::read_to_string("/proc/self/statm")?;
        let limits = fs::read_to_string("/proc/self/limits")?;
        // The directory itself is open while it is read.
        let open_fds = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64;
        let stat = Stat::parse(&stat);
        let mut pages = memory.split(' ').map(|pages| pages.parse::<u64>().ok());
        let mut bytes = || pages.next().flatten().map(|pages| pages * self.page);
        Ok(Process {
            virtual_bytes: bytes(),
            resident_bytes: bytes(),
            cpu_seconds: stat.as_ref().map(|stat| stat.cpu_ticks / self.ticks),
            threads: stat.as_ref().map(|stat| stat.threads),
            start_time: stat
                .as_ref()
                .and_then(|stat| Some(boot_time()? + stat.start_ticks / self.ticks)),
            open_fds: Some(open_fds),
            max_fds: soft_limit(&limits, "Max open files"),
        })
    }
}

/// When the machine was started, in seconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact until the year 285 million"
)]
fn boot_time() -> Option<f64> {
    System::boot_time().ok().map(|seconds| seconds as f64)
}

/// What is wanted of `proc_pid_stat(5)`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: u64,
    start_ticks: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything; the third field follows the last parenthesis.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: fields.get(20 - 3)?.parse().ok()?,
            start_ticks: field(22)?,
        })
    }
}

/// The soft limit in a line of `proc_pid_limits(5)`; `None` if unlimited.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_process_whose_name_is_a_trap() {
        let text = "42 (a) (b) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 7 0 9000 1 2 3\n";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                cpu_ticks: 300.0,
                threads: 7,
                start_ticks: 9000.0
            })
        );
        assert_eq!(Stat::parse("42 (cut) S 1"), None);
    }

    #[test]
    fn reads_the_soft_limit() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n\
                      Max file locks            unlimited            unlimited            locks     \n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024));
        assert_eq!(soft_limit(limits, "Max file locks"), None);
        assert_eq!(soft_limit(limits, "Max pens"), None);
    }

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
