//! `cargo xtask`: the development commands of partymeter, one module per verb. Only the list of verbs lives here.

mod bench;
#[path = "../../agent/bpf_toolchain.rs"]
mod bpf_toolchain;
mod build;
mod chaos;
mod docs;
mod fuzz;
mod gpu_check;
mod ignored;
mod kernels;
mod links;
mod lint;
mod man;
mod needs;
mod privilege;
mod project;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// The development commands of partymeter
///
/// Each verb installs what it needs if that is missing, shows the commands that it runs, and can be repeated. `cargo xtask
/// VERB --help` says more.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = START
)]
enum Verb {
    Setup(setup::Args),
    Build(build::Args),
    Run(run::Args),
    Test(test::Args),
    Lint(lint::Args),
    Bench(bench::Args),
    Chaos(chaos::Args),
    Fuzz(fuzz::Args),
    Kernels(kernels::Args),
    GpuCheck(gpu_check::Args),
    Docs(docs::Args),
    Man(man::Args),
}

/// Where a newcomer begins.
const START: &str = "\
To begin:
  cargo xtask run    install the toolchain, build the agent and start it
  cargo xtask test   run every test; what cannot run on this machine is listed with the reason
  cargo xtask lint   check what must be clean before a change is merged

Programs are installed by apt-get, cargo and rustup; everything else stays in the target directory.";

fn main() -> ExitCode {
    let verb = Verb::parse();
    let outcome = project::Project::open().and_then(|project| match verb {
        Verb::Setup(args) => args.run(&project),
        Verb::Build(args) => args.run(&project),
        Verb::Run(args) => args.run(&project),
        Verb::Test(args) => args.run(&project),
        Verb::Lint(args) => args.run(&project),
        Verb::Bench(args) => args.run(&project),
        Verb::Chaos(args) => args.run(&project),
        Verb::Fuzz(args) => args.run(&project),
        Verb::Kernels(args) => args.run(&project),
        Verb::GpuCheck(args) => args.run(&project),
        Verb::Docs(args) => args.run(&project),
        Verb::Man(args) => args.run(&project),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            project::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
