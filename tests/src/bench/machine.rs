//! What the figures were measured on: processor, kernel, memory, and whom it was shared with.

use std::fs;

use serde_json::{Map, Value};

/// The machine, by name; a fact that cannot be read is left out.
pub(super) fn describe() -> Map<String, Value> {
    let mut about = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        about.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("cpu", field("/proc/cpuinfo", "model name").map(Value::from));
    let cores = std::thread::available_parallelism();
    add("cores", cores.ok().map(|count| Value::from(count.get())));
    add(
        "kernel",
        line("/proc/sys/kernel/osrelease").map(Value::from),
    );
    add("architecture", Some(Value::from(std::env::consts::ARCH)));
    add(
        "memory",
        field("/proc/meminfo", "MemTotal").map(Value::from),
    );
    // Empty on bare metal and wherever the firmware says nothing.
    add(
        "machine",
        line("/sys/class/dmi/id/product_name").map(Value::from),
    );
    add("load_before", line("/proc/loadavg").map(Value::from));
    about
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first `name : value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

/// Memory that can still be used, in bytes.
pub(super) fn available_memory() -> Option<u64> {
    let text = field("/proc/meminfo", "MemAvailable")?;
    let kibibytes: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Process ids of agents that somebody else runs; `own` is the one that is measured.
pub(super) fn other_agents(own: Option<u32>) -> Vec<String> {
    let own = own.map(|id| id.to_string());
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|id| own.as_ref() != Some(id))
        .filter(|id| line(&format!("/proc/{id}/comm")).as_deref() == Some("partymeter"))
        .collect()
}

/// The processors that this process may use.
pub(super) fn processors() -> Vec<usize> {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let is_set = |cpu: &usize| allowed.is_ok_and(|it| it.is_set(*cpu).unwrap_or(false));
    (0..nix::sched::CpuSet::count()).filter(is_set).collect()
}

/// The one for the traffic: the last, the farthest from where interrupts arrive.
pub(super) fn processor() -> Option<usize> {
    processors().pop()
}
