//! `cargo xtask kernels`: boots Debian's kernels in virtual machines. There `kernel-guest` (in the tests) checks that the
//! agent loads and counts exactly or, on a kernel that is too old, refuses to. The verb and its table live here; `debian`
//! fetches kernels, `machine` boots them, `console` looks for kernel errors on their console.

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

/// The oldest kernel that the agent supports; it must refuse older ones clearly.
const FLOOR: [u32; 2] = [5, 12];

/// From this version on an iterator over socket storage could crash the kernel, and must not be used.
const UNSAFE_ITERATORS: [u32; 1] = [7];

/// What the guest checks, in the order of the table.
const CHECKS: [&str; 14] = [
    "load", "claim v4", "claim v6", "adopt", "settle", "reload", "exact", "events", "line",
    "messages", "udp", "stop", "pin", "storm",
];
/// What it checks instead on a kernel that is too old.
const REFUSED: &str = "refused";

/// Boot other kernels in virtual machines, and check that the agent counts exactly on them
///
/// Installs QEMU and busybox if they are missing. Fetches Debian's cloud kernels (x86-64) from apt's mirror, without a
/// change to apt's configuration, and keeps them in target/kernels. Needs neither root nor KVM. A kernel takes some 20
/// seconds.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask kernels 5.10 6.1 6.12 7")]
pub(crate) struct Args {
    /// Kernel versions: 6.1 is the newest 6.1.x that Debian has, 7 the newest 7.x
    #[arg(default_values_t = Args::default().versions)]
    versions: Vec<Version>,
}

impl Default for Args {
    /// One that is too old, the oldest in wide use, and one that is newer than what most machines run.
    fn default() -> Self {
        let versions = vec![[5, 10].into(), [6, 1].into(), [7].into()];
        Self { versions }
    }
}

impl Args {
    pub(crate) fn run(&self, project: &Project) -> anyhow::Result<()> {
        if !can_boot() {
            bail!("the virtual machines need an x86-64 host");
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
            bail!("checks failed on {}, see above", wrong.join(", "));
        }
        Ok(())
    }
}

/// Whether this machine's architecture is that of the kernels.
pub(crate) const fn can_boot() -> bool {
    cfg!(target_arch = "x86_64")
}

/// The outcome on one kernel.
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

    /// Prints the reason of each failure, and the path of the console.
    fn explain(&self) {
        for (check, words) in self.outcome.failed() {
            say(format_args!("{}: {check}: {words}", self.kernel));
        }
        if !self.is_safe() {
            let kernel = &self.kernel;
            say(format_args!(
                "{kernel}: the agent uses an iterator that could crash this kernel"
            ));
        }
        for line in &self.outcome.alarms {
            say(format_args!("{}: kernel error: {line}", self.kernel));
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
