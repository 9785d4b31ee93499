//! What `/proc` says of a process: its command and its container. One place for all sources.

use std::fs;

use crate::text::printable;

/// The command of a process, made printable; `None` if the process is not visible.
pub(super) fn command(pid: u32) -> Option<String> {
    read(pid, "comm").map(|comm| command_in(&comm))
}

/// The id of the container that a process runs in; `None` outside a container or if the process is not visible.
pub(super) fn container_id(pid: u32) -> Option<String> {
    let cgroup = read(pid, "cgroup")?;
    container_id_in(&String::from_utf8_lossy(&cgroup)).map(str::to_owned)
}

fn read(pid: u32, file: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/{file}")).ok()
}

/// A process chooses the bytes of its name freely.
fn command_in(comm: &[u8]) -> String {
    printable(comm.strip_suffix(b"\n").unwrap_or(comm))
}

/// The container id in the content of `/proc/PID/cgroup`: every runtime puts it, as 64 hexadecimal digits, into the name
/// of the container's cgroup.
///
/// In nested containers the path has an id for each level, and the last is the process's own container. With cgroup v1
/// some controllers may not follow into the inner container, so the line with the most ids counts.
fn container_id_in(cgroup: &str) -> Option<&str> {
    let deepest = cgroup.lines().max_by_key(|line| ids(line).count())?;
    ids(deepest).last()
}

fn ids(path: &str) -> impl Iterator<Item = &str> {
    path.split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f9c5be20a1d4e7790b0c9a8f2e61d54c3b7a6958476f0e1d2c3b4a5968778f0";
    const OUTER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_container_of_every_runtime_is_found() {
        for (runtime, cgroup) in [
            (
                "docker, systemd",
                format!("0::/system.slice/docker-{ID}.scope\n"),
            ),
            ("docker, cgroupfs", format!("0::/docker/{ID}\n")),
            (
                "containerd, systemd",
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-{ID}.scope\n"
                ),
            ),
            (
                "containerd, own namespace",
                format!("0::/../cri-containerd-{ID}.scope\n"),
            ),
            (
                "containerd, colons",
                format!("0::/system.slice/kubepods-besteffort-pod1_2.slice:cri-containerd:{ID}\n"),
            ),
            (
                "kubepods, cgroup v1",
                format!("12:cpu:/kubepods/besteffort/pod1-2-3/{ID}\n1:name=systemd:/x\n0::/\n"),
            ),
            (
                "cri-o",
                format!("0::/kubepods.slice/crio-{ID}.scope/container\n"),
            ),
            (
                "podman",
                format!("0::/machine.slice/libpod-{ID}.scope/container\n"),
            ),
            (
                "podman, rootless",
                format!(
                    "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope\n"
                ),
            ),
        ] {
            assert_eq!(container_id_in(&cgroup), Some(ID), "{runtime}");
        }
    }

    #[test]
    fn a_nested_process_belongs_to_the_inner_container() {
        for (nesting, cgroup) in [
            (
                "docker in docker",
                format!("0::/docker/{OUTER}/docker/{ID}\n"),
            ),
            (
                "docker in a pod",
                format!("0::/kubepods.slice/cri-containerd-{OUTER}.scope/docker/{ID}\n"),
            ),
            (
                "podman in docker",
                format!(
                    "0::/system.slice/docker-{OUTER}.scope/machine.slice/libpod-{ID}.scope/container\n"
                ),
            ),
            (
                "cgroup v1, a controller that stays outside",
                format!("12:cpu:/docker/{OUTER}/docker/{ID}\n3:rdma:/docker/{OUTER}\n0::/\n"),
            ),
            (
                "cgroup v1, the other order",
                format!("12:rdma:/docker/{OUTER}\n3:cpu:/docker/{OUTER}/docker/{ID}\n"),
            ),
        ] {
            assert_eq!(container_id_in(&cgroup), Some(ID), "{nesting}");
        }
    }

    #[test]
    fn other_names_are_no_container() {
        for cgroup in [
            "",
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            &format!("0::/{ID}0\n"),
            &format!("0::/x{ID}\n"),
        ] {
            assert_eq!(container_id_in(cgroup), None, "{cgroup}");
        }
    }

    #[test]
    fn commands_are_printable() {
        for (comm, shown) in [
            (&b"python3\n"[..], "python3"),
            (b"a b \n", "a b "),
            (b"\xff\xfe\n", r"\xff\xfe"),
            (b"a\nb\"\n", r#"a\nb""#),
            ("\u{202e}gpj.exe\n".as_bytes(), r"\u{202e}gpj.exe"),
            (b"\n", "(empty)"),
        ] {
            assert_eq!(command_in(comm), shown);
        }
    }

    #[test]
    fn an_invisible_process_has_no_names() {
        assert_eq!((command(u32::MAX), container_id(u32::MAX)), (None, None));
        assert!(command(std::process::id()).is_some());
    }
}
