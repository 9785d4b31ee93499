//! The commands that the tests and `kernels` call, and the Debian packages that bring them.

use std::collections::BTreeSet;

use super::apt::Apt;

/// (command, package)
const TESTS: &[(&str, &str)] = &[
    ("bpftool", "bpftool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
];

const KERNELS: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

pub(super) fn of_tests(apt: &Apt<'_>) -> anyhow::Result<()> {
    ensure(apt, TESTS)
}

pub(super) fn of_kernels(apt: &Apt<'_>) -> anyhow::Result<()> {
    ensure(apt, KERNELS)
}

fn ensure(apt: &Apt<'_>, commands: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing = commands
        .iter()
        .filter(|(command, _)| !apt.project.has(command));
    let packages: BTreeSet<&str> = missing.map(|&(_, package)| package).collect();
    apt.install(&Vec::from_iter(packages))
}
