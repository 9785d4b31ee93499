//! A control group that accounts the memory of a process and what the kernel takes for it, such as BPF maps, in a tree
//! of the first or the second version.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// The group; removed when dropped, by when its processes must have ended.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
    is_old: bool,
}

impl MemoryGroup {
    /// Makes a group, with a limit in bytes if one is given.
    ///
    /// # Errors
    /// If there is no such tree, or it may not be written to.
    pub fn new(limit: Option<u64>) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("partymeter-{}-{number}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/memory");
        let is_old = old.exists();
        let tree = if is_old {
            old
        } else {
            Path::new("/sys/fs/cgroup")
        };
        let group = Self {
            path: tree.join(name),
            is_old,
        };
        fs::create_dir(&group.path)?;
        if let Some(limit) = limit {
            group.write("memory.limit_in_bytes", "memory.max", limit)?;
        }
        Ok(group)
    }

    /// What starts a program in the group: to be put before its command line.
    #[must_use]
    pub fn enter(&self) -> [String; 4] {
        let script = format!(
            "echo $$ > {}/cgroup.procs && exec \"$@\"",
            self.path.display()
        );
        ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
    }

    /// The most that was in use at one time. Unit: bytes. From `memory.max_usage_in_bytes` or `memory.peak` (Linux 5.19).
    ///
    /// # Errors
    /// If the kernel does not say so.
    pub fn peak(&self) -> io::Result<u64> {
        self.read("memory.max_usage_in_bytes", "memory.peak")
    }

    /// What is in use now. Unit: bytes.
    ///
    /// # Errors
    /// As [`MemoryGroup::peak`].
    pub fn usage(&self) -> io::Result<u64> {
        self.read("memory.usage_in_bytes", "memory.current")
    }

    fn file(&self, old: &str, new: &str) -> PathBuf {
        self.path.join(if self.is_old { old } else { new })
    }

    fn write(&self, old: &str, new: &str, value: u64) -> io::Result<()> {
        fs::write(self.file(old, new), value.to_string())
    }

    fn read(&self, old: &str, new: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.file(old, new))?;
        text.trim().parse().map_err(io::Error::other)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}
