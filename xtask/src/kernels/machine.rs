//! The virtual machine: QEMU, a kernel, and an initial file system with busybox, the agent, `kernel-guest` and their
//! libraries. The guest reports over the serial console.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{TempDir, cmd};

use super::{console, debian::Kernel, version::Version};
use crate::project::{Project, say};

/// The first process of the guest. Its arguments follow `--` on the kernel's command line.
const INIT: &str = "#!/bin/busybox sh
mount() { /bin/busybox mount -t \"$1\" \"$1\" \"$2\"; }
mount proc /proc
mount sysfs /sys
mount devtmpfs /dev
mount cgroup2 /sys/fs/cgroup
mount bpf /sys/fs/bpf
/bin/busybox ip link set lo up
# A small machine allows few TIME_WAIT sockets; a connection without one is reset by a late FIN.
echo 100000 > /proc/sys/net/ipv4/tcp_max_tw_buckets
/bin/kernel-guest /bin/partymeter \"$@\"
/bin/busybox poweroff -f
";

/// Warnings and worse go to the console; an oops ends the guest.
const APPEND: &str = "console=ttyS0 loglevel=5 oops=panic panic=-1";

/// Seconds after which a guest is stopped.
const LIMIT: &str = "300";

/// What the guest reported.
pub(super) struct Outcome {
    /// Each check, with "ok" or the reason of its failure.
    checks: Vec<(String, String)>,
    /// The kernel hooks by which the agent counts, if it does.
    pub(super) hooks: Option<String>,
    /// Lines with which the kernel reports an error.
    pub(super) alarms: Vec<String>,
    /// The file with the whole output of the serial console.
    pub(super) console: PathBuf,
}

impl Outcome {
    /// "ok" or the reason, if the check was made.
    pub(super) fn of(&self, check: &str) -> Option<&str> {
        let found = self.checks.iter().find(|(name, _)| name == check);
        found.map(|(_, words)| words.as_str())
    }

    pub(super) fn failed(&self) -> impl Iterator<Item = &(String, String)> {
        self.checks.iter().filter(|(_, words)| words != "ok")
    }
}

/// A machine that boots any kernel.
pub(super) struct Machine<'p> {
    project: &'p Project,
    directory: &'p Path,
    /// The archive of the initial file system.
    initrd: PathBuf,
}

impl<'p> Machine<'p> {
    pub(super) fn new(
        project: &'p Project,
        directory: &'p Path,
        agent: &Path,
    ) -> anyhow::Result<Self> {
        let sh = &project.sh;
        let busybox = project
            .find("busybox")
            .context("busybox is not installed; run `cargo xtask setup kernels`")?;
        let guest = project.program("kernel-guest");
        let root = sh.create_temp_dir()?;
        for directory in ["bin", "dev", "proc", "sys", "tmp"] {
            sh.create_dir(root.path().join(directory))?;
        }
        for program in [busybox.as_path(), agent, &guest] {
            install(project, &root, program)?;
        }
        let init = root.path().join("init");
        sh.write_file(&init, INIT)?;
        cmd!(sh, "chmod 755 {init}").quiet().run()?;

        let initrd = directory.join("initrd");
        let _here = sh.push_dir(root.path());
        let files = cmd!(sh, "find .").quiet().read()?;
        let archive = cmd!(sh, "{busybox} cpio -o -H newc -R 0:0").stdin(files + "\n");
        let archive = archive.quiet().ignore_stderr().output()?.stdout;
        sh.write_file(&initrd, archive)?;
        Ok(Self {
            project,
            directory,
            initrd,
        })
    }

    /// Boots a kernel, waits for the guest's checks and returns what it reported.
    pub(super) fn boot(&self, kernel: &Kernel, too_old: bool) -> anyhow::Result<Outcome> {
        let sh = &self.project.sh;
        let Kernel { name, image, .. } = kernel;
        say(format_args!("booting {name}"));
        let log = self.directory.join(format!("console-{name}"));
        let mut append = APPEND.to_owned();
        if too_old {
            append += " -- refused";
        }
        let cpu = cpu(&kernel.version);
        let (initrd, serial) = (&self.initrd, format!("file:{}", log.display()));
        let qemu = cmd!(
            sh,
            "timeout {LIMIT} qemu-system-x86_64 -accel {ACCELERATOR} -cpu {cpu} -smp 2 -m 512
             -display none -vga none -monitor none -nic none -no-reboot
             -serial {serial} -kernel {image} -initrd {initrd} -append {append}"
        );
        // A guest that was stopped has reported some checks; the others count as not made.
        qemu.quiet().ignore_status().run()?;
        let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
        Ok(Outcome {
            checks: checks(&text),
            hooks: hooks(&text),
            alarms: console::alarms(&text),
            console: log,
        })
    }
}

/// Copies a program and the libraries it needs into the file system.
fn install(project: &Project, root: &TempDir, program: &Path) -> anyhow::Result<()> {
    let sh = &project.sh;
    // ldd fails for a static program, which needs no libraries.
    let ldd = cmd!(sh, "ldd {program}").quiet().ignore_stderr();
    let libraries = ldd.ignore_status().read()?;
    let paths = libraries
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('/'));
    for path in paths {
        let to = root.path().join(path);
        sh.create_dir(to.parent().unwrap_or(root.path()))?;
        sh.copy_file(Path::new("/").join(path), to)?;
    }
    sh.copy_file(program, root.path().join("bin"))?;
    Ok(())
}

/// Always emulation: KVM is not available everywhere, and inside another virtual machine it may not work although its
/// device opens. One thread for both processors: kernels patch code that the other processor runs, which QEMU 7.2 does
/// not support.
const ACCELERATOR: &str = "tcg,thread=single";

/// Up to 6.19 the kernel's allocator uses `cmpxchg16b` without a lock prefix where the processor has it; QEMU 7.2 then
/// corrupts the flags. Since 7.2 BPF's socket storage needs the instruction (`kmalloc_nolock`).
fn cpu(version: &Version) -> &'static str {
    if *version < Version::from([7]) {
        "max,-cx16"
    } else {
        "max"
    }
}

/// The guest's lines `check NAME: ok` or `check NAME: REASON`, among all that a console shows.
fn checks(console: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (check, words) = line.trim_end().strip_prefix("check ")?.split_once(": ")?;
        Some((check.to_owned(), words.to_owned()))
    };
    console.lines().filter_map(line).collect()
}

/// The guest's line `hooks WORDS`.
fn hooks(console: &str) -> Option<String> {
    let mut lines = console.lines().map(str::trim_end);
    lines
        .find_map(|line| line.strip_prefix("hooks "))
        .map(|words| words.replace('"', "").replace(',', ", "))
}

#[cfg(test)]
mod tests {
    use super::{checks, hooks};

    #[test]
    fn checks_are_found_among_the_lines_of_a_console() {
        let console = "[    0.1] booting\r\ncheck load: ok\r\n INFO x: y\r\nhooks a=\"b+c\",d=\"e\"\r\ncheck settle: v4: 1 of 2\r\n";
        assert_eq!(hooks(console).as_deref(), Some("a=b+c, d=e"));
        assert_eq!(hooks("check load: ok"), None);
        let found = checks(console);
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(found, [("load", "ok"), ("settle", "v4: 1 of 2")]);
    }
}
