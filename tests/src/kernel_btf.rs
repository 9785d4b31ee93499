//! This kernel's BTF as an agent would see it on a newer one: with the rework of local storage, since which no iterator may
//! go through socket storage. So both ways to find accounts can be measured, and tested, on one kernel.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

/// Where the kernel publishes it.
const KERNEL: &str = "/sys/kernel/btf/vmlinux";
/// A member of `struct bpf_local_storage_elem` since it is there, and the one by which the rework is known: as long.
const BEFORE: &[u8] = b"\0snode\0";
const AFTER: &[u8] = b"\0state\0";

/// Writes it, with the one member's name in the place of the other's. What has a member of that name elsewhere is
/// renamed, too: nobody asks for it.
///
/// # Errors
/// Where the kernel publishes none, its member has another name, or the file cannot be written.
pub fn with_rework(path: &Path) -> anyhow::Result<()> {
    let mut btf = fs::read(KERNEL).with_context(|| format!("cannot read {KERNEL}"))?;
    let places: Vec<usize> = btf
        .windows(BEFORE.len())
        .enumerate()
        .filter_map(|(place, bytes)| (bytes == BEFORE).then_some(place))
        .collect();
    ensure!(
        places.len() == 1,
        "{KERNEL} has the name snode {} times",
        places.len()
    );
    for place in places {
        btf[place..place + AFTER.len()].copy_from_slice(AFTER);
    }
    fs::write(path, btf).with_context(|| format!("cannot write {}", path.display()))
}

/// What runs the program that follows so that it sees that file instead of the kernel's, in a mount namespace of its own.
#[must_use]
pub fn showing(btf: &Path) -> Vec<String> {
    let script = format!("mount --bind \"$0\" {KERNEL} && exec \"$@\"");
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c"];
    let file = btf.display().to_string();
    let words = words.into_iter().map(str::to_owned);
    words.chain([script, file]).collect()
}
