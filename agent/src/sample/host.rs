//! The machine and the agent's own process.

/// The machine and the agent itself.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Memory in use by the system, in bytes: total less available (`/proc/meminfo`).
    pub memory_used: Option<u64>,
    /// The agent's own process.
    pub process: Process,
}

/// The agent's own process, from `/proc/self`.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// User and system CPU time, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit of file descriptors.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// When it started, in seconds since 1970.
    pub start_time: Option<f64>,
}
