//! What a round of collection takes with many open MPC sockets: the whole round, as the agent times it, and the
//! program alone, as the kernel does while its statistics are on.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{
    Context,
    agent::{Agent, Setup},
    generator::Generator,
    kernel_statistics, machine,
    page::Page,
    report::{Aim, Cell, Table, say},
    statistics::{figure, to_f64},
};

/// How many sockets, and in how many milliseconds they should be settled.
const STEPS: [(usize, Option<f64>); 4] = [
    (1, None),
    (1_000, None),
    (10_000, None),
    (100_000, Some(50.0)),
];
/// Kernel memory of one socket with its file, rounded up, in bytes.
pub(super) const SOCKET_MEMORY: u64 = 8 * 1024;
/// How long the agent may take to see what was opened.
const PATIENCE: Duration = Duration::from_secs(20);

const COLUMNS: [&str; 7] = [
    "sockets",
    "rounds",
    "ms per round",
    "ms in settle",
    "ns per socket",
    "aim",
    "met",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let setup = Setup {
        interval: Duration::from_millis(200),
        ..Setup::default()
    };
    let rounds = Duration::from_millis(if context.quick { 1200 } else { 4000 });
    let note = "idle MPC sockets on loopback, two to a connection; a round is all that the network source does, the \
                aim is its mean; settle is the program alone with the kernel's statistics on, two readings of the \
                clock for each socket in it";
    let mut table = Table::new("settle", note, &COLUMNS);
    let mut generator = Generator::start()?;
    let mut agent = context.program.start(setup)?;
    let mut open = 0;
    for (sockets, aim) in STEPS {
        let needed = figure((sockets - open) as u64 * SOCKET_MEMORY);
        if machine::available_memory().is_some_and(|available| figure(available) < needed) {
            say(format_args!(
                "settle: left out {sockets} sockets: they need {:.1} GB of memory",
                needed * 1e-9
            ));
            break;
        }
        generator.hold(sockets - open)?;
        open = sockets;
        wait_for(&mut agent, open)?;

        let round = over(&mut agent, rounds, setup, whole_rounds)?;
        let statistics = kernel_statistics::enable()?;
        let program = over(&mut agent, rounds / 2, setup, program_alone)?;
        drop(statistics);

        let milliseconds = round.mean() * 1e3;
        let mut cells = vec![
            Cell::count(sockets as u64),
            Cell::number(round.count, 0),
            Cell::number(milliseconds, 3),
            Cell::number(program.mean() * 1e3, 3),
            Cell::number(program.mean() * 1e9 / to_f64(sockets), 0),
        ];
        cells.extend(Aim::cells(aim.map(Aim::AtMost), milliseconds));
        table.row(cells);
    }
    generator.release()?;
    agent.stop()?;
    Ok(vec![table])
}

/// Rounds, and the seconds that they took.
pub(super) fn whole_rounds(page: &Page) -> anyhow::Result<(f64, f64)> {
    let labels = [("source", "network")];
    Ok((
        page.value("partymeter_source_duration_seconds_count", &labels)?,
        page.value("partymeter_source_duration_seconds_sum", &labels)?,
    ))
}

/// Rounds, and the seconds that the program took, as the kernel counts them.
pub(super) fn program_alone(page: &Page) -> anyhow::Result<(f64, f64)> {
    // One of the two, by what the kernel allows.
    let seconds = |program| {
        let labels = [("program", program)];
        page.find("partymeter_bpf_program_seconds_total", &labels)
    };
    let program = seconds("settle").or_else(|| seconds("settle_by_file"));
    Ok((whole_rounds(page)?.0, program.unwrap_or(0.0)))
}

/// Until the agent says that it accounts so many.
pub(super) fn wait_for(agent: &mut Agent, sockets: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let entries = agent
            .page()?
            .value("partymeter_bpf_map_entries", &[("map", "sockets")])?;
        if (entries - to_f64(sockets)).abs() < 0.5 {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{sockets} MPC sockets are open, and the agent accounts {entries}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// How often something happened in a time, and how long that took together.
pub(super) struct Total {
    pub(super) count: f64,
    seconds: f64,
}

impl Total {
    pub(super) fn mean(&self) -> f64 {
        self.seconds / self.count
    }
}

/// What a counter and its sum grow by.
pub(super) fn over(
    agent: &mut Agent,
    time: Duration,
    setup: Setup,
    read: impl Fn(&Page) -> anyhow::Result<(f64, f64)>,
) -> anyhow::Result<Total> {
    // The round that was under way belongs to what was before.
    thread::sleep(setup.interval * 2);
    let (count, seconds) = read(&agent.page()?)?;
    thread::sleep(time);
    let after = read(&agent.page()?)?;
    Ok(Total {
        count: after.0 - count,
        seconds: after.1 - seconds,
    })
}
