//! What the two ways to find open accounts cost with many open files: the kernel's iterator over socket storage sees
//! accounts only, the one over open files every file of every process.

use std::time::Duration;

use super::{
    Context,
    agent::Setup,
    generator::Generator,
    kernel_statistics, machine,
    report::{Cell, Table, say},
    settle::{SOCKET_MEMORY, over, program_alone, wait_for, whole_rounds},
    statistics::{figure, to_f64},
};

/// What is open: MPC sockets, other sockets, other files.
const OPEN: [(usize, usize, usize); 5] = [
    (1_000, 0, 0),
    (1_000, 0, 100_000),
    (1_000, 100_000, 0),
    (50_000, 0, 50_000),
    (100_000, 0, 0),
];

const COLUMNS: [&str; 8] = [
    "MPC sockets",
    "other sockets",
    "other files",
    "found by",
    "rounds",
    "ms per round",
    "ms in the program",
    "ms of CPU per round",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let time = Duration::from_millis(if context.quick { 2000 } else { 6000 });
    let note = "idle sockets, and a program's file opened again and again, in several processes; a round is all that the \
                network source does; the program alone with the kernel's statistics on; CPU of all the agent's threads";
    let mut table = Table::new("walks", note, &COLUMNS);
    for (sockets, other_sockets, files) in OPEN {
        let needed = figure((sockets + other_sockets + files) as u64 * SOCKET_MEMORY);
        if machine::available_memory().is_some_and(|available| figure(available) < needed) {
            say(format_args!(
                "walks: left out {} open files: they need {:.1} GB of memory",
                sockets + other_sockets + files,
                needed * 1e-9
            ));
            continue;
        }
        let mut generator = Generator::start()?;
        generator.hold(sockets)?;
        generator.hold_others(other_sockets, files)?;
        for by_files in [false, true] {
            let setup = Setup {
                interval: Duration::from_millis(200),
                by_files,
                ..Setup::default()
            };
            let mut agent = context.program.start(setup)?;
            wait_for(&mut agent, sockets)?;
            let before = agent.processor_time()?;
            let round = over(&mut agent, time, setup, whole_rounds)?;
            // `over` lets two rounds pass before it looks.
            let waited = to_f64(2) + round.count;
            let processor = figure(agent.processor_time()? - before) * 1e-6 / waited;
            let statistics = kernel_statistics::enable()?;
            let program = over(&mut agent, time / 2, setup, program_alone)?;
            drop(statistics);
            agent.stop()?;
            table.row(vec![
                Cell::count(sockets as u64),
                Cell::count(other_sockets as u64),
                Cell::count(files as u64),
                Cell::text(if by_files {
                    "open files"
                } else {
                    "socket storage"
                }),
                Cell::number(round.count, 0),
                Cell::number(round.mean() * 1e3, 2),
                Cell::number(program.mean() * 1e3, 2),
                Cell::number(processor, 2),
            ]);
        }
        generator.release()?;
    }
    Ok(vec![table])
}
