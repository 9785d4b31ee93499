//! What one run of each BPF program takes, as the kernel counts it: `run_time_ns / run_cnt`, with its own two readings
//! of the clock in it. By load, because a program does more for an MPC socket than for any other.

use std::{collections::BTreeMap, thread, time::Duration};

use super::{
    Context,
    agent::{Agent, Setup},
    generator::{Generator, Kind, Measured, Slice, Whose},
    kernel_statistics, machine,
    report::{Cell, Table},
    statistics::figure,
};

const COLUMNS: [&str; 8] = [
    "load",
    "sockets",
    "program",
    "runs",
    "runs per operation",
    "ns per run",
    "ns per operation",
    "percent of the cpu time",
];

const LOADS: [(Kind, &str); 2] = [
    (Kind::Connect, "connect-request-close"),
    (Kind::PingPong, "ping-pong 64 B"),
];
const WHOSE: [(Whose, &str); 2] = [(Whose::Party, "MPC"), (Whose::Nobody, "other")];

/// Runs and seconds of each program.
type Runs = BTreeMap<&'static str, (f64, f64)>;

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let _statistics = kernel_statistics::enable()?;
    let measured = Duration::from_millis(if context.quick { 500 } else { 3000 });
    let mut generator = Generator::start()?;
    let setup = Setup {
        interval: Duration::from_millis(200),
        ..Setup::default()
    };
    let note = "run_time_ns / run_cnt, which holds two readings of the clock, some 20 to 50 ns; an operation \
                is that of both ends of a connection, and the last column the program's part of all their CPU time; an iterator runs once for each thing that it walks over";
    let mut table = Table::new("programs", note, &COLUMNS);
    let mut agent = context.program.start(setup)?;
    // `adopt` runs when the agent starts and never again: over every open file of the machine.
    let start = settled(&mut agent, setup)?;
    rows(&mut table, "start of the agent", "any", &start, None);
    for (kind, load) in LOADS {
        for (whose, sockets) in WHOSE {
            let before = settled(&mut agent, setup)?;
            let traffic = generator.slice(Slice {
                kind,
                connections: 1,
                whose,
                rate: None,
                line: None,
                processor: machine::processor(),
                warm_up: Duration::ZERO,
                measured,
            })?;
            let after = settled(&mut agent, setup)?;
            let grown = |(name, (runs, seconds)): (&&'static str, &(f64, f64))| {
                let (runs_before, seconds_before) = before.get(name).copied().unwrap_or_default();
                (*name, (runs - runs_before, seconds - seconds_before))
            };
            let delta = after.iter().map(grown).collect();
            rows(&mut table, load, sockets, &delta, Some(&traffic));
        }
    }
    agent.stop()?;
    Ok(vec![table])
}

fn rows(table: &mut Table, load: &str, sockets: &str, runs: &Runs, traffic: Option<&Measured>) {
    let per_operation = |cell: &dyn Fn(f64) -> Cell| {
        traffic.map_or_else(Cell::missing, |traffic| cell(figure(traffic.count)))
    };
    for (program, (runs, seconds)) in runs {
        if *runs < 1.0 {
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter"
        )]
        let count = *runs as u64;
        table.row([
            Cell::text(load),
            Cell::text(sockets),
            Cell::text(*program),
            Cell::count(count),
            per_operation(&|count| Cell::number(runs / count, 2)),
            Cell::number(seconds * 1e9 / runs, 0),
            per_operation(&|count| Cell::number(seconds * 1e9 / count, 0)),
            traffic.map_or_else(Cell::missing, |traffic| {
                Cell::number(100.0 * seconds / traffic.processor_seconds, 2)
            }),
        ]);
    }
}

/// What the page says once it holds all that has happened until now.
fn settled(agent: &mut Agent, setup: Setup) -> anyhow::Result<Runs> {
    // The page is asked once only: each scrape is work that would be measured.
    thread::sleep(setup.interval * 2 + Duration::from_millis(50));
    let page = agent.page()?;
    let mut all = Runs::new();
    for name in agent_ebpf::program::ALL {
        let labels = [("program", name)];
        // A program that has not run yet has no series.
        if let Some(runs) = page.find("partymeter_bpf_program_runs_total", &labels) {
            let seconds = page.value("partymeter_bpf_program_seconds_total", &labels)?;
            all.insert(name, (runs, seconds));
        }
    }
    anyhow::ensure!(
        !all.is_empty(),
        "the metrics page has no partymeter_bpf_program_runs_total while the kernel's statistics are on"
    );
    Ok(all)
}
