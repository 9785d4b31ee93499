//! The commands that the tests and `kernels` call, and the Debian packages that bring them.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::apt::Apt;
use crate::project::Project;

/// (command, package)
const TESTS: &[(&str, &str)] = &[
    ("bpftool", "bpftool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("openssl", "openssl"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
];

const KERNELS: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

pub(super) fn of_tests(apt: &Apt<'_>) -> anyhow::Result<()> {
    apt.install(&missing_for_tests(apt.project))
}

/// The packages of the commands that the tests call and that are not there.
pub(crate) fn missing_for_tests(project: &Project) -> Vec<&'static str> {
    missing(project, TESTS)
}

/// Where a part of QEMU is from backports already, the rest has to be as well.
pub(super) fn of_kernels(apt: &Apt<'_>) -> anyhow::Result<()> {
    let missing = missing(apt.project, KERNELS);
    apt.install(&missing)
        .or_else(|error| apt.install_backports(&missing).with_context(|| error))
}

fn missing<'c>(project: &Project, commands: &[(&str, &'c str)]) -> Vec<&'c str> {
    let missing = commands.iter().filter(|(command, _)| !project.has(command));
    let packages: BTreeSet<&str> = missing.map(|&(_, package)| package).collect();
    Vec::from_iter(packages)
}
