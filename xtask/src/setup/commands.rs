//! The commands that the tests and `kernels` call, and the Debian packages that have them.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::apt::Apt;
use crate::project::Project;

/// Each command and its package.
const TESTS: &[(&str, &str)] = &[
    ("bpftool", "bpftool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("openssl", "openssl"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
];

/// What the manual pages and shell completions are checked with.
const MANUAL: &[(&str, &str)] = &[("fish", "fish"), ("mandoc", "mandoc"), ("zsh", "zsh")];

const KERNELS: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

pub(super) fn of_tests(apt: &Apt<'_>) -> anyhow::Result<()> {
    apt.install(&missing_for_tests(apt.project))
}

/// Without them only the tests of the manual are ignored, so they are no part of `missing_for_tests`.
pub(super) fn of_manual(apt: &Apt<'_>) -> anyhow::Result<()> {
    apt.install(&missing(apt.project, MANUAL))
}

/// The packages of the commands that the tests call and that are missing.
pub(crate) fn missing_for_tests(project: &Project) -> Vec<&'static str> {
    missing(project, TESTS)
}

/// If a part of QEMU was installed from backports, the rest must come from there, too.
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
