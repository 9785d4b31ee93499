//! Names the processes on a GPU, as far as `/proc` shows them: the agent has to share the host's pid namespace.

use std::cmp::Reverse;

use super::raw;
use crate::{
    sample::gpu::Process,
    source::process::{command, container_id},
};

/// The processes of a GPU that have their own series; the others are added up as `other`.
const MAX_PROCESSES: usize = 64;

/// Describes the processes, those with the most memory first.
pub(super) fn describe(mut processes: Vec<raw::Process>) -> Vec<Process> {
    processes.sort_by_key(|process| (Reverse(process.memory), process.pid));
    let rest = processes.split_off(processes.len().min(MAX_PROCESSES));
    let mut described: Vec<Process> = processes.iter().map(named).collect();
    if !rest.is_empty() {
        let sum = |value: fn(&raw::Process) -> Option<u64>| {
            rest.iter().filter_map(value).reduce(u64::saturating_add)
        };
        described.push(Process {
            pid: "other".to_owned(),
            memory: sum(|process| process.memory),
            sm: sum(|process| process.sm.map(Into::into)),
            ..Process::default()
        });
    }
    described
}

fn named(process: &raw::Process) -> Process {
    Process {
        pid: process.pid.to_string(),
        command: command(process.pid).unwrap_or_default(),
        container: container_id(process.pid).unwrap_or_default(),
        memory: process.memory,
        sm: process.sm.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_beyond_the_limit_are_added_up() {
        let processes = (1..=100).map(|pid| raw::Process {
            pid,
            memory: Some(u64::from(pid)),
            sm: Some(1),
        });
        let described = describe(processes.collect());
        assert_eq!(described.len(), MAX_PROCESSES + 1);
        assert_eq!(
            (described[0].pid.as_str(), described[0].memory),
            ("100", Some(100))
        );
        let rest = described.last().unwrap();
        assert_eq!(
            (rest.pid.as_str(), rest.memory, rest.sm),
            ("other", Some((1..=36).sum()), Some(36))
        );
    }
}
