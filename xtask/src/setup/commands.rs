//! The commands that the tests call, and the Debian packages that bring them.

use std::collections::BTreeSet;

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
    let missing = COMMANDS
        .iter()
        .filter(|(command, _)| !apt.project.has(command));
    let packages: BTreeSet<&str> = missing.map(|&(_, package)| package).collect();
    apt.install(&Vec::from_iter(packages))
}
