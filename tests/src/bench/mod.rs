//! The benchmarks' command line, and the one list of their parts. Each part is a module that returns a table;
//! `report` prints the tables and writes them as JSON.
//!
//! `generator` makes the traffic, in processes of their own and a network namespace of their own; `agent` starts and
//! stops the agent and reads its page.

mod agent;
mod allocations;
mod churn;
mod footprint;
mod generator;
mod gpus;
mod http;
mod kernel_statistics;
mod loopback;
mod machine;
mod otlp;
mod page;
mod per_packet;
mod programs;
mod report;
mod scrape;
mod settle;
mod statistics;
mod walks;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use self::{
    agent::Program,
    report::{Report, Table, say},
};

/// Measure what the agent costs: traffic with and without it, its programs, its memory
///
/// Run as root, after a release build: it starts the agent many times. Another agent on the machine falsifies the
/// figures. The result is a table on standard output and a JSON file.
#[derive(Debug, Parser)]
#[command(name = "partymeter-bench")]
struct Args {
    /// Fewer and shorter runs: shows that everything works, its figures are rough
    #[arg(long)]
    quick: bool,

    /// How often loopback traffic is compared: four times as many halve the error
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// The BPF object that counts packet by packet [default: that is not compared with]
    #[arg(long, value_name = "FILE", env = "PER_PACKET")]
    per_packet: Option<PathBuf>,

    /// The JSON file [default: bench.json in the target directory that this program is in]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The agent [default: partymeter beside this program]
    #[arg(long, value_name = "FILE", env = "PARTYMETER_BIN")]
    agent: Option<PathBuf>,

    /// The parts to run [default: all]
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Part>,
}

/// One part of the benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Stream, ping-pong and connections without the agent, with it, and with a counter of packets, alternating
    Loopback,
    /// 20,000 connections a second
    Churn,
    /// Run time of each BPF program
    Programs,
    /// Collecting 1 to 100,000 open MPC sockets
    Settle,
    /// The same by socket storage and by open files, of which there are 100,000
    Walks,
    /// Scraping 16 and 4,096 pairs of party and protocol, in both formats
    Scrape,
    /// Eight and sixteen GPUs that are made up, beside nvitop-exporter on the same ones
    Gpus,
    /// Eight GPUs and 256 pairs of party and protocol by OTLP, and a receiver that is gone
    Otlp,
    /// Memory before, during and after a million scrapes; processor time while idle
    Footprint,
}

/// What every part needs.
struct Context {
    program: Program,
    quick: bool,
    rounds: Option<u16>,
    per_packet: Option<PathBuf>,
}

impl Part {
    fn run(self, context: &Context) -> anyhow::Result<Vec<Table>> {
        match self {
            Self::Loopback => loopback::run(context),
            Self::Churn => churn::run(context),
            Self::Programs => programs::run(context),
            Self::Settle => settle::run(context),
            Self::Walks => walks::run(context),
            Self::Scrape => scrape::run(context),
            Self::Gpus => gpus::run(context),
            Self::Otlp => otlp::run(context),
            Self::Footprint => footprint::run(context),
        }
    }
}

/// Runs the benchmarks, or one of their own traffic processes.
pub(crate) fn main() -> ExitCode {
    let result = match generator::role() {
        Some(role) => role.run(),
        None if gpus::is_role() => gpus::role(),
        None if otlp::is_role() => otlp::role(),
        None => run(&Args::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("partymeter-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "loading BPF programs and making a network namespace need root: use `cargo xtask bench` or sudo"
    );
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let beside = own.with_file_name("partymeter");
    let program = Program::find(args.agent.clone().unwrap_or(beside))?;
    let json = args
        .json
        .clone()
        .or_else(|| Some(own.parent()?.parent()?.join("bench.json")))
        .context("this program's file is in no directory: name a file with --json")?;

    let context = Context {
        program,
        quick: args.quick,
        rounds: args.rounds,
        per_packet: args.per_packet.clone(),
    };
    let others = machine::other_agents(None);
    if !others.is_empty() {
        say(format_args!(
            "warning: another agent runs (process {}): its cost is in every figure, with and without",
            others.join(", ")
        ));
    }
    let mut report = Report::new(&context, others.len());
    let all = Part::value_variants();
    let chosen = |part: &&Part| args.names.is_empty() || args.names.contains(part);
    for part in all.iter().filter(chosen) {
        let name = part
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        say(format_args!("{name} …"));
        for table in part.run(&context).with_context(|| name)? {
            report.add(&table);
        }
    }
    report.write(&json)
}
