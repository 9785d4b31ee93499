//! Whether the cgroups of this process allow enough memory and tasks. (`export::http::client_limit` checks open files.)

use std::{
    fs,
    path::{Path, PathBuf},
};

use procfs::{ProcessCGroup, ProcessCGroups, process::Process};

use crate::{
    config::Config,
    finding::Finding,
    source::network::{cgroup, map_memory::map_bytes},
};

/// Memory of the agent without the BPF maps, at the start, which takes most. Unit: bytes.
const OWN: u64 = 15 << 20;
/// Memory of the BPF maps whose size is fixed. Unit: bytes.
const FIXED_MAPS: u64 = 3 << 20;
/// Threads of the agent at the start, without those for GPUs.
const TASKS: u64 = 12;

/// Whether the cgroups of this process have room for an agent with that configuration.
pub fn look(config: &Config) -> Vec<Finding> {
    let maps = if config.network.enabled {
        FIXED_MAPS + map_bytes(config)
    } else {
        0
    };
    let need = OWN + maps;
    let groups = groups();
    let memory = limit(&groups, memory_of).and_then(|it| too_little_memory(need, &it));
    let tasks = limit(&groups, tasks_of).and_then(|it| too_few_tasks(&it));
    let wrong: Vec<_> = memory.into_iter().chain(tasks).collect();
    if wrong.is_empty() {
        return vec![Finding::optional(WHAT, Ok("enough".to_owned()))];
    }
    let wrong = wrong.into_iter();
    wrong.map(|it| Finding::optional(WHAT, Err(it))).collect()
}

const WHAT: &str = "limits";

/// The smallest limit and its cgroup.
struct Least {
    value: u64,
    group: PathBuf,
}

fn too_little_memory(need: u64, least: &Least) -> Option<String> {
    (least.value < need).then(|| {
        format!(
            "{} allows {} MiB of memory, and the agent may need {} MiB; help: allow more (MemoryMax=, the container's \
             limit), or the kernel may kill it",
            least.group.display(),
            least.value >> 20,
            need.div_ceil(1 << 20)
        )
    })
}

fn too_few_tasks(least: &Least) -> Option<String> {
    (least.value < TASKS).then(|| {
        format!(
            "{} has room for {} more tasks, and the agent starts {TASKS} threads and one for each GPU; help: allow more \
             (TasksMax=, the container's limit)",
            least.group.display(),
            least.value
        )
    })
}

/// The smallest limit of these cgroups.
fn limit(groups: &[PathBuf], of: impl Fn(&Path) -> Option<u64>) -> Option<Least> {
    let known = groups.iter().filter_map(|group| {
        let value = of(group)?;
        let group = group.clone();
        Some(Least { value, group })
    });
    known.min_by_key(|it| it.value)
}

/// The limit of cgroup2, or of the controller `memory`; `None` for "max".
fn memory_of(group: &Path) -> Option<u64> {
    number(group, "memory.max").or_else(|| number(group, "memory.limit_in_bytes"))
}

/// How many more tasks are allowed.
fn tasks_of(group: &Path) -> Option<u64> {
    let most = number(group, "pids.max")?;
    Some(most.saturating_sub(number(group, "pids.current")?))
}

fn number(group: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(group.join(file))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The cgroups of this process, up to the one that is mounted.
fn groups() -> Vec<PathBuf> {
    let groups = Process::myself().and_then(|it| it.cgroups());
    groups
        .map(|it| directories(it, cgroup::mount().as_deref()))
        .unwrap_or_default()
}

/// Cgroup2, and the controllers of version 1 that matter here (cgroups(7)).
fn directories(groups: ProcessCGroups, cgroup2: Option<&Path>) -> Vec<PathBuf> {
    let directory = |it: ProcessCGroup| {
        let mount = match &it.controllers[..] {
            [] => cgroup2?.to_owned(),
            [one] if one == "memory" || one == "pids" => Path::new("/sys/fs/cgroup").join(one),
            _ => return None,
        };
        Some(upwards(&mount, &it.pathname))
    };
    groups.into_iter().filter_map(directory).flatten().collect()
}

fn upwards(mount: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    // Cgroups outside of the mount cannot be read.
    if group.starts_with("..") {
        return vec![mount.to_owned()];
    }
    group.ancestors().map(|it| mount.join(it)).collect()
}

#[cfg(test)]
mod tests {
    use procfs::FromBufRead as _;

    use super::*;

    #[test]
    fn the_smallest_limit_of_all_parents_counts() {
        let place = tempfile::tempdir().unwrap();
        let groups = upwards(place.path(), "/a/b");
        assert_eq!(groups.len(), 3);
        fs::create_dir_all(&groups[0]).unwrap();
        let write =
            |at: usize, name: &str, text: &str| fs::write(groups[at].join(name), text).unwrap();
        assert!(limit(&groups, memory_of).is_none(), "the root has none");
        write(0, "memory.max", "max\n");
        write(1, "memory.max", "16777216\n");
        write(2, "memory.limit_in_bytes", "9223372036854771712\n");
        let least = limit(&groups, memory_of).unwrap();
        assert_eq!((least.value, &least.group), (16 << 20, &groups[1]));
        assert!(too_little_memory(16 << 20, &least).is_none());
        let line = too_little_memory((16 << 20) + 1, &least).unwrap();
        let right = format!(
            "{} allows 16 MiB of memory, and the agent may need 17 MiB; help: ",
            groups[1].display()
        );
        assert!(line.starts_with(&right), "{line}");
        write(0, "pids.max", "20\n");
        write(0, "pids.current", "15\n");
        let line = too_few_tasks(&limit(&groups, tasks_of).unwrap()).unwrap();
        assert!(line.contains("has room for 5 more tasks"), "{line}");
    }

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let table = "12:memory:/user.slice\n3:cpu,cpuacct:/x\n2:pids:/p:q\n0::/system.slice/partymeter.service\n";
        let groups = ProcessCGroups::from_buf_read(table.as_bytes()).unwrap();
        let found = directories(groups, Some(Path::new("/m")));
        let right = [
            "/sys/fs/cgroup/memory/user.slice",
            "/sys/fs/cgroup/memory/",
            "/sys/fs/cgroup/pids/p:q",
            "/sys/fs/cgroup/pids/",
            "/m/system.slice/partymeter.service",
            "/m/system.slice",
            "/m/",
        ];
        assert_eq!(found, right.map(PathBuf::from));
        let mount = Path::new("/m");
        assert_eq!(upwards(mount, "/"), [mount]);
        assert_eq!(upwards(mount, "/../x"), [mount]);
    }
}
