//! Names of processes on a GPU, as far as `/proc` shows them: in a container that takes the host's pid namespace.

use std::{cmp::Reverse, fs};

use super::raw;
use crate::{sample::gpu::Process, text::printable};

/// Series for at most so many processes of a GPU; the rest is summed up.
const MOST: usize = 64;

/// The largest first, with what can be known of them.
pub(super) fn describe(mut told: Vec<raw::Process>) -> Vec<Process> {
    told.sort_by_key(|process| (Reverse(process.memory), process.pid));
    let rest = told.split_off(told.len().min(MOST));
    let mut processes: Vec<Process> = told.iter().map(of).collect();
    if !rest.is_empty() {
        let sum = |value: fn(&raw::Process) -> Option<u64>| {
            rest.iter().filter_map(value).reduce(u64::saturating_add)
        };
        processes.push(Process {
            pid: "other".to_owned(),
            memory: sum(|process| process.memory),
            sm: sum(|process| process.sm.map(Into::into)),
            ..Process::default()
        });
    }
    processes
}

fn of(told: &raw::Process) -> Process {
    let read = |what: &str| fs::read(format!("/proc/{}/{what}", told.pid));
    let cgroup = read("cgroup").unwrap_or_default();
    Process {
        pid: told.pid.to_string(),
        command: read("comm").map(command).unwrap_or_default(),
        container: container(&String::from_utf8_lossy(&cgroup))
            .unwrap_or_default()
            .to_owned(),
        memory: told.memory,
        sm: told.sm.map(Into::into),
    }
}

/// What `/proc/PID/comm` says; a process chooses its bytes freely.
fn command(mut comm: Vec<u8>) -> String {
    if comm.last() == Some(&b'\n') {
        comm.pop();
    }
    printable(comm)
}

/// The id of a container: the last name of 64 hexadecimal digits in `/proc/PID/cgroup`, which Docker, containerd,
/// CRI-O and podman all put there.
pub fn container(cgroup: &str) -> Option<&str> {
    let hexadecimal =
        |name: &&str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    cgroup.split(['/', '-', '.', ':', '\n']).rfind(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_container_in_each_runtimes_words() {
        let id = "3f9c5be20a1d4e7790b0c9a8f2e61d54c3b7a6958476f0e1d2c3b4a5968778f0";
        for text in [
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!(
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-{id}.scope\n"
            ),
            format!("12:cpu:/kubepods/besteffort/pod1-2-3/{id}\n1:name=systemd:/x\n"),
            format!("0::/kubepods.slice/crio-{id}.scope/container\n"),
            format!("0::/machine.slice/libpod-{id}.scope/container\n"),
        ] {
            assert_eq!(container(&text), Some(id), "{text}");
        }
        assert_eq!(
            container("0::/user.slice/user-1000.slice/session-2.scope\n"),
            None
        );
    }

    #[test]
    fn a_name_is_never_lost_and_never_deceives() {
        for (comm, shown) in [
            (&b"python3\n"[..], "python3"),
            (b"a b \n", "a b "),
            (b"\xff\xfe\n", r"\xff\xfe"),
            (b"a\nb\"\n", r#"a\nb""#),
            ("\u{202e}gpj.exe\n".as_bytes(), r"\u{202e}gpj.exe"),
            (b"\n", "(empty)"),
        ] {
            assert_eq!(command(comm.to_vec()), shown);
        }
    }

    #[test]
    fn what_is_too_many_is_summed_up() {
        let told = (1..=100).map(|pid| raw::Process {
            pid,
            memory: Some(u64::from(pid)),
            sm: Some(1),
        });
        let described = describe(told.collect());
        assert_eq!(described.len(), MOST + 1);
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
