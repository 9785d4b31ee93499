//! `cargo xtask kernels`: boots Debian's kernels in virtual machines and has `kernel-guest` (in the tests) check
//! there that the agent loads and is right to the byte, or, on a kernel below the floor, that it says so. The verb
//! and its table live here; where kernels come from is in `debian`, the machine in `machine`, what its console must not
//! show in `console`.

mod console;
mod debian;
mod machine;
mod version;

use anyhow::bail;
use xshell::cmd;

use self::{
    debian::Debian,
    machine::{Machine, Outcome},
    version::Version,
};
use crate::{
    build,
    project::{Project, say},
    setup::{self, Group},
};

/// The first kernel that the agent can count on; older ones it must refuse clearly.
const FLOOR: [u32; 2] = [5, 12];

/// From here on an iterator over socket storage could crash the kernel: it must not be used.
const UNSAFE_ITERATORS: [u32; 1] = [7];

/// What the guest checks, in the order of the table.
const CHECKS: [&str; 14] = [
    "load", "claim v4", "claim v6", "adopt", "settle", "reload", "exact", "events", "line",
    "messages", "udp", "stop", "pin", "storm",
];
/// What it checks instead on a kernel below the floor.
const REFUSED: &str = "refused";

/// Check in virtual machines that the agent counts exactly on other kernels
///
/// Installs QEMU and busybox if they are missing, fetches Debian's cloud kernels (x86-64) with apt, from the mirror
/// that apt knows but without touching its configuration, and keeps them in target/kernels. Needs no root, no KVM:
/// a kernel takes some 20 seconds.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask kernels 5.10 6.1 6.12 7")]
pub(crate) struct Args {
    /// Kernel versions: the newest of a series, as 6.1, or of all with a first number, as 7
    #[arg(default_values_t = Args::default().versions)]
    versions: Vec<Version>,
}

impl Default for Args {
    /// One below the floor, the oldest that is still in wide use, and one that is newer than what most machines run.
    fn default() -> Self {
        let versions = vec![[5, 10].into(), [6, 1].into(), [7].into()];
        Self { versions }
    }
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        if !can_boot() {
            bail!("the virtual machines are for x86-64 only so far");
        }
        setup::ensure(project, &[Group::Kernels])?;
        let agent = build::agent(project)?;
        let sh = &project.sh;
        cmd!(
            sh,
            "cargo build --release -p partymeter-tests --bin kernel-guest"
        )
        .run()?;
        let directory = project.target.join("kernels");
        sh.create_dir(&directory)?;
        let machine = Machine::new(project, &directory, &agent)?;
        let mut debian = Debian::new(project, &directory);

        let mut rows = Vec::new();
        for wanted in &self.versions {
            let kernel = debian.kernel(wanted)?;
            let too_old = kernel.version < FLOOR.into();
            let by_files = kernel.version >= UNSAFE_ITERATORS.into();
            let outcome = machine.boot(&kernel, too_old)?;
            rows.push(Row {
                kernel: kernel.name,
                too_old,
                by_files,
                outcome,
            });
        }
        table(&rows);
        let wrong: Vec<&str> = rows
            .iter()
            .filter(|row| !row.is_right())
            .map(|row| row.kernel.as_str())
            .collect();
        if !wrong.is_empty() {
            bail!("the agent does not do its work on {}", wrong.join(", "));
        }
        Ok(())
    }
}

/// Whether this machine is of the kind that the kernels are for.
pub(crate) const fn can_boot() -> bool {
    cfg!(target_arch = "x86_64")
}

/// What came out on one kernel.
struct Row {
    kernel: String,
    too_old: bool,
    /// Whether accounts must be found by open files.
    by_files: bool,
    outcome: Outcome,
}

impl Row {
    fn wanted(&self) -> &[&'static str] {
        if self.too_old { &[REFUSED] } else { &CHECKS }
    }

    /// A check that was not made is as wrong as one that failed.
    fn is_right(&self) -> bool {
        self.wanted()
            .iter()
            .all(|check| self.outcome.of(check) == Some("ok"))
            && self.outcome.alarms.is_empty()
            && self.is_safe()
    }

    /// Whether no iterator is used that could crash the kernel.
    fn is_safe(&self) -> bool {
        let hooks = self.outcome.hooks.as_deref().unwrap_or_default();
        !self.by_files || hooks.contains("+task_file")
    }

    fn cell(&self, check: &str) -> &'static str {
        match (self.outcome.of(check), self.outcome.of(REFUSED)) {
            (Some("ok"), _) => "ok",
            (Some(_), _) => "FAILED",
            (None, Some("ok")) if check == CHECKS[0] => "refused",
            (None, _) => "-",
        }
    }

    /// The reasons behind what is wrong, and where the machine's console is.
    fn explain(&self) {
        for (check, words) in self.outcome.failed() {
            say(format_args!("{}: {check}: {words}", self.kernel));
        }
        if !self.is_safe() {
            let kernel = &self.kernel;
            say(format_args!(
                "{kernel}: an iterator is used that could crash this kernel"
            ));
        }
        for line in &self.outcome.alarms {
            say(format_args!("{}: the kernel says: {line}", self.kernel));
        }
        let console = self.outcome.console.display();
        say(format_args!("{}: console in {console}", self.kernel));
    }
}

fn table(rows: &[Row]) {
    let width = rows.iter().map(|row| row.kernel.len()).max().unwrap_or(0);
    say(format_args!("{:width$} | {}", "kernel", CHECKS.join(" | ")));
    for row in rows {
        let cells = CHECKS.map(|check| format!("{:1$}", row.cell(check), check.len()));
        say(format_args!(
            "{:width$} | {}",
            row.kernel,
            cells.join(" | ")
        ));
    }
    for row in rows {
        if let Some(hooks) = &row.outcome.hooks {
            say(format_args!("{:width$} | {hooks}", row.kernel));
        }
    }
    for row in rows.iter().filter(|row| !row.is_right()) {
        row.explain();
    }
}
