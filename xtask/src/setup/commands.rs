//! The commands that the tests call, and the Debian packages that bring them.

use super::apt::Apt;

/// (command, package)
const COMMANDS: &[(&str, &str)] = &[
    ("bpftool", "bpftool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
];

pub(super) fn ensure(apt: &Apt<'_>) -> anyhow::Result<()> {
    let packages: Vec<&str> = COMMANDS
        .iter()
        .filter(|(command, _)| !apt.project.has(command))
        .map(|&(_, package)| package)
        .collect();
    apt.install(&packages)
}
